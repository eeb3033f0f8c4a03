#include "net/url.h"

#include <arpa/inet.h>

#include "base/err.h"

/* RFC 3986, appendix B, applied by hand: where a reference's parts begin and end. */
typedef struct parts {
    pn_text scheme, authority, path, query, fragment; /* at NULL: not there */
} parts;

static int fail(const char **why, const char *text) {
    if (why != NULL) *why = text;
    return PN_EBAD_URL;
}

static bool is_alpha(char c) { return pn_text_lower(c) >= 'a' && pn_text_lower(c) <= 'z'; }

static bool is_unreserved(char c) {
    return is_alpha(c) || pn_text_is_digit(c) || c == '-' || c == '.' || c == '_' || c == '~';
}

static bool is_one_of(char c, const char *set) { return c != '\0' && strchr(set, c) != NULL; }

/* What may stand in a path or query as it is: pchar, '/' and '?'. '%' is checked apart. */
static bool is_target_char(char c) { return is_unreserved(c) || is_one_of(c, "!$&'()*+,;=:@/?%"); }

static pn_text take(pn_text *rest, size_t size) {
    pn_text part = pn_text_make(rest->at, size);
    rest->at += size;
    rest->size -= size;
    return part;
}

/* The length of the part of `text` before the first character of `stops`. */
static size_t span_until(pn_text text, const char *stops) {
    size_t n = 0;
    while (n < text.size && !is_one_of(text.at[n], stops)) n++;
    return n;
}

/* "name:" with a name that may be a scheme; leaves `rest` alone when there is none. */
static pn_text take_scheme(pn_text *rest) {
    size_t n = span_until(*rest, ":/?#");
    if (n == 0 || n == rest->size || rest->at[n] != ':' || !is_alpha(rest->at[0]))
        return PN_TEXT_NONE;
    for (size_t i = 1; i < n; i++) {
        char c = rest->at[i];
        if (!is_alpha(c) && !pn_text_is_digit(c) && !is_one_of(c, "+-.")) return PN_TEXT_NONE;
    }
    pn_text scheme = take(rest, n);
    take(rest, 1);
    return scheme;
}

static parts split(pn_text text) {
    parts p = {0};
    p.scheme = take_scheme(&text);
    if (pn_text_starts(text, PN_TEXT("//"))) {
        take(&text, 2);
        p.authority = take(&text, span_until(text, "/?#"));
    }
    p.path = take(&text, span_until(text, "?#"));
    if (text.size > 0 && text.at[0] == '?') {
        take(&text, 1);
        p.query = take(&text, span_until(text, "#"));
    }
    if (text.size > 0) p.fragment = pn_text_make(text.at + 1, text.size - 1);
    return p;
}

static bool has_bad_escape(pn_text text) {
    for (size_t i = 0; i < text.size; i++) {
        if (text.at[i] != '%') continue;
        if (text.size - i < 3) return true;
        if (pn_text_hex(text.at[i + 1]) < 0 || pn_text_hex(text.at[i + 2]) < 0) return true;
    }
    return false;
}

static int check_text(pn_text text, const char **why) {
    if (text.size > PN_URL_MAX_BYTES) return fail(why, "the URL is longer than 65536 bytes");
    for (size_t i = 0; i < text.size; i++) {
        unsigned char c = (unsigned char)text.at[i];
        if (c < 0x20 || c == 0x7f) return fail(why, "the URL has a control character");
    }
    return 0;
}

static int parse_scheme(pn_url *url, pn_text scheme, const char **why) {
    if (scheme.at == NULL) return fail(why, "the URL has no scheme (http:// or https://)");
    if (pn_text_equal_nocase(scheme, PN_TEXT("http"))) {
        url->scheme = PN_URL_HTTP;
        url->port = 80;
    } else if (pn_text_equal_nocase(scheme, PN_TEXT("https"))) {
        url->scheme = PN_URL_HTTPS;
        url->port = 443;
    } else if (pn_text_equal_nocase(scheme, PN_TEXT("http+unix"))) {
        url->scheme = PN_URL_UNIX;
    } else {
        return fail(why, "the URL's scheme is not http, https or http+unix");
    }
    return 0;
}

static int check_ipv6(pn_text host, const char **why) {
    char text[INET6_ADDRSTRLEN];
    unsigned char address[16];
    size_t size = span_until(host, "%"); /* a zone may follow: fe80::1%25eth0 */
    if (size >= sizeof text) return fail(why, "the IPv6 address is not valid");
    memcpy(text, host.at, size);
    text[size] = '\0';
    if (inet_pton(AF_INET6, text, address) != 1) return fail(why, "the IPv6 address is not valid");
    return has_bad_escape(host) ? fail(why, "the IPv6 zone is not valid") : 0;
}

static int check_name(pn_text host, const char **why) {
    if (host.size == 0) return fail(why, "the URL has no host");
    if (host.size > PN_URL_HOST_BYTES) return fail(why, "the host is longer than 253 bytes");
    for (size_t i = 0; i < host.size; i++) {
        if ((unsigned char)host.at[i] >= 0x80) {
            return fail(why, "the host is not ASCII (use its punycode form, xn--...)");
        }
        if (!is_unreserved(host.at[i])) return fail(why, "the host has an invalid character");
    }
    return 0;
}

static int parse_port(pn_url *url, pn_text digits, const char **why) {
    uint64_t port;
    if (digits.size == 0) return 0; /* "host:" is the scheme's port */
    if (!pn_text_to_u64(digits, &port) || port == 0 || port > UINT16_MAX) {
        return fail(why, "the port is not a number from 1 to 65535");
    }
    url->has_port = true;
    url->port = (uint16_t)port;
    return 0;
}

static int parse_ipv6(pn_url *url, pn_text rest, const char **why) {
    size_t end = span_until(rest, "]");
    if (end == rest.size) return fail(why, "the '[' of the host is not closed");
    url->is_ipv6 = true;
    url->host = pn_text_make(rest.at + 1, end - 1);
    take(&rest, end + 1);
    if (rest.size > 0 && rest.at[0] != ':') return fail(why, "only a port may follow the ']'");
    if (rest.size > 0) take(&rest, 1);
    int err = check_ipv6(url->host, why);
    return err != 0 ? err : parse_port(url, rest, why);
}

static int parse_host_port(pn_url *url, pn_text rest, const char **why) {
    if (rest.size > 0 && rest.at[0] == '[') return parse_ipv6(url, rest, why);
    url->host = take(&rest, span_until(rest, ":"));
    if (rest.size > 0) take(&rest, 1);
    int err = check_name(url->host, why);
    return err != 0 ? err : parse_port(url, rest, why);
}

static int parse_authority(pn_url *url, pn_text authority, const char **why) {
    if (authority.at == NULL) return fail(why, "the URL has no '//' after its scheme");
    if (has_bad_escape(authority)) return fail(why, "a '%' is not followed by two hex digits");
    if (url->scheme == PN_URL_UNIX) {
        url->host = authority;
        return authority.size == 0 ? fail(why, "the URL has no socket path") : 0;
    }
    /* The last '@' ends the user info: passwords with an '@' in them are common and harmless so. */
    const char *at = memrchr(authority.at, '@', authority.size);
    if (at != NULL) {
        url->userinfo = take(&authority, (size_t)(at - authority.at));
        take(&authority, 1);
    }
    return parse_host_port(url, authority, why);
}

int pn_url_parse(pn_url *url, pn_text text, const char **why) {
    *url = (pn_url){0};
    int err = check_text(text, why);
    if (err != 0) return err;
    parts p = split(text);
    err = parse_scheme(url, p.scheme, why);
    if (err == 0) err = parse_authority(url, p.authority, why);
    if (err != 0) return err;
    if (has_bad_escape(p.path) || has_bad_escape(p.query)) {
        return fail(why, "a '%' is not followed by two hex digits");
    }
    url->path = p.path;
    url->query = p.query;
    url->fragment = p.fragment;
    return 0;
}

static void add_escaped(pn_buf *out, char c) {
    static const char hex[] = "0123456789ABCDEF";
    char escape[3] = {'%', hex[(unsigned char)c >> 4], hex[(unsigned char)c & 15]};
    pn_buf_add(out, escape, sizeof escape);
}

static void add_target(pn_buf *out, pn_text text) {
    for (size_t i = 0; i < text.size; i++) {
        if (is_target_char(text.at[i])) {
            pn_buf_add_byte(out, text.at[i]);
        } else {
            add_escaped(out, text.at[i]);
        }
    }
}

bool pn_url_write_target(pn_buf *out, const pn_url *url) {
    if (url->path.size == 0) pn_buf_add_byte(out, '/');
    add_target(out, url->path);
    if (url->query.at != NULL) {
        pn_buf_add_byte(out, '?');
        add_target(out, url->query);
    }
    return !out->failed;
}

static bool is_default_port(const pn_url *url) {
    return url->port == (url->scheme == PN_URL_HTTPS ? 443 : 80);
}

bool pn_url_write_authority(pn_buf *out, const pn_url *url) {
    if (url->scheme == PN_URL_UNIX) return pn_buf_add_text(out, "localhost");
    if (url->is_ipv6) {
        pn_buf_add_byte(out, '[');
        pn_buf_add(out, url->host.at,
                   span_until(url->host, "%")); /* a zone means nothing elsewhere */
        pn_buf_add_byte(out, ']');
    } else {
        for (size_t i = 0; i < url->host.size; i++) {
            pn_buf_add_byte(out, pn_text_lower(url->host.at[i]));
        }
    }
    if (!is_default_port(url)) pn_buf_printf(out, ":%u", (unsigned)url->port);
    return !out->failed;
}

/* ---- resolving ---- */

/* Takes back the last segment written since `start`, with its slash. */
static void drop_segment(pn_buf *out, size_t start) {
    while (out->size > start && out->data[out->size - 1] != '/') out->size--;
    if (out->size > start) out->size--;
}

/* RFC 3986, 5.2.4. `path` begins with '/': what is resolved against a base with an authority
 * does. */
static void add_without_dots(pn_buf *out, pn_text path) {
    size_t start = out->size;
    while (path.size > 0) {
        pn_text segment = pn_text_make(path.at + 1, path.size - 1);
        segment.size = span_until(segment, "/");
        take(&path, segment.size + 1);
        bool is_last = path.size == 0;
        if (pn_text_equal(segment, PN_TEXT(".."))) {
            drop_segment(out, start);
            if (is_last) pn_buf_add_byte(out, '/');
        } else if (!pn_text_equal(segment, PN_TEXT("."))) {
            pn_buf_add_byte(out, '/');
            pn_buf_add(out, segment.at, segment.size);
        } else if (is_last) {
            pn_buf_add_byte(out, '/');
        }
    }
}

/* RFC 3986, 5.2.3: the base's path up to its last slash, then the reference's. */
static void add_merged(pn_buf *out, const pn_url *base, pn_text path) {
    pn_buf merged;
    pn_buf_init(&merged, out->alloc);
    size_t keep = base->path.size;
    while (keep > 0 && base->path.at[keep - 1] != '/') keep--;
    if (keep == 0) pn_buf_add_byte(&merged, '/');
    pn_buf_add(&merged, base->path.at, keep);
    pn_buf_add(&merged, path.at, path.size);
    if (merged.failed) {
        out->failed = true;
    } else {
        add_without_dots(out, pn_text_make(merged.data, merged.size));
    }
    pn_buf_close(&merged);
}

static void add_part(pn_buf *out, const char *mark, pn_text part) {
    if (part.at == NULL) return;
    pn_buf_add_text(out, mark);
    pn_buf_add(out, part.at, part.size);
}

static void add_base_origin(pn_buf *out, const pn_url *base) {
    static const char *const names[] = {"http://", "https://", "http+unix://"};
    pn_buf_add_text(out, names[base->scheme]);
    if (base->scheme == PN_URL_UNIX) {
        pn_buf_add(out, base->host.at, base->host.size);
        return;
    }
    pn_buf_add_text(out, base->is_ipv6 ? "[" : "");
    pn_buf_add(out, base->host.at, base->host.size);
    pn_buf_add_text(out, base->is_ipv6 ? "]" : "");
    if (base->has_port) pn_buf_printf(out, ":%u", (unsigned)base->port);
}

static void add_resolved(pn_buf *out, const pn_url *base, parts p) {
    if (p.scheme.at != NULL) {
        add_part(out, "", p.scheme);
        add_part(out, "://", p.authority);
    } else if (p.authority.at != NULL) {
        pn_buf_add_text(out, base->scheme == PN_URL_HTTPS ? "https" : "http");
        add_part(out, "://", p.authority);
    } else {
        add_base_origin(out, base);
    }
    bool same_origin = p.scheme.at == NULL && p.authority.at == NULL;
    if (same_origin && p.path.size == 0) {
        pn_buf_add(out, base->path.at, base->path.size);
        if (p.query.at == NULL) p.query = base->query;
    } else if (p.path.size > 0 && p.path.at[0] == '/') {
        add_without_dots(out, p.path);
    } else if (same_origin) {
        add_merged(out, base, p.path);
    }
    add_part(out, "?", p.query);
}

int pn_url_resolve(pn_buf *out, const pn_url *base, pn_text reference, const char **why) {
    int err = check_text(reference, why);
    if (err != 0) return err;
    parts p = split(reference);
    if (p.scheme.at != NULL && p.authority.at == NULL) {
        return fail(why, "the URL has no '//' after its scheme");
    }
    size_t start = out->size;
    add_resolved(out, base, p);
    if (out->failed) {
        out->size = start;
        return PN_ENOMEM;
    }
    pn_url check;
    err = pn_url_parse(&check, pn_text_make(out->data + start, out->size - start), why);
    if (err != 0) out->size = start;
    return err;
}

/* ---- percent-encoding and forms ---- */

bool pn_percent_encode(pn_buf *out, pn_text text) {
    for (size_t i = 0; i < text.size; i++) {
        if (is_unreserved(text.at[i])) {
            pn_buf_add_byte(out, text.at[i]);
        } else {
            add_escaped(out, text.at[i]);
        }
    }
    return !out->failed;
}

bool pn_percent_decode(pn_buf *out, pn_text text, bool plus_is_space) {
    if (has_bad_escape(text) || !pn_buf_reserve(out, text.size)) return false;
    for (size_t i = 0; i < text.size; i++) {
        char c = text.at[i];
        if (c == '%') {
            c = (char)(pn_text_hex(text.at[i + 1]) << 4 | pn_text_hex(text.at[i + 2]));
            i += 2;
        } else if (c == '+' && plus_is_space) {
            c = ' ';
        }
        out->data[out->size++] = c;
    }
    return true;
}

static void add_form_text(pn_buf *out, pn_text text) {
    for (size_t i = 0; i < text.size; i++) {
        if (is_unreserved(text.at[i])) {
            pn_buf_add_byte(out, text.at[i]);
        } else if (text.at[i] == ' ') {
            pn_buf_add_byte(out, '+');
        } else {
            add_escaped(out, text.at[i]);
        }
    }
}

bool pn_form_add(pn_buf *out, size_t start, pn_text name, pn_text value) {
    if (out->size > start) pn_buf_add_byte(out, '&');
    add_form_text(out, name);
    pn_buf_add_byte(out, '=');
    add_form_text(out, value);
    return !out->failed;
}

bool pn_form_next(pn_text *form, pn_text *name, pn_text *value) {
    while (form->size > 0) {
        pn_text field = take(form, span_until(*form, "&"));
        if (form->size > 0) take(form, 1);
        if (field.size == 0) continue;
        *name = take(&field, span_until(field, "="));
        if (field.size > 0) take(&field, 1);
        *value = field;
        return true;
    }
    return false;
}
