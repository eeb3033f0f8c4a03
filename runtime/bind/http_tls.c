/* TLS options of scripts, for clients and servers: a table becomes a pn_tls, made once for its
 * content. */
#include "bind/http.h"

#include "lua/args.h"

static const char *const known[] = {
    "ca",  "ca_file",  "cert",        "cert_file",   "ciphers",  "insecure_skip_verify",
    "key", "key_file", "max_version", "min_version", "password", "client_auth",
    NULL,
};

static const char *const client_auths[] = {"none", "optional", "required", NULL};

/* Texts stay on the stack, above `table`. */
static pn_tls_source read_source(lua_State *L, int table, const char *text, const char *file) {
    const char *path = pn_field_string(L, table, file, NULL);
    const char *pem = pn_field_string(L, table, text, NULL);
    if (path != NULL && pem != NULL)
        luaL_error(L, "options '%s' and '%s' exclude each other", text, file);
    return (pn_tls_source){.file = path, .pem = pn_text_of(pem)};
}

static pn_tls_version read_version(lua_State *L, int table, const char *key) {
    pn_tls_version version = PN_TLS_VERSION_ANY;
    const char *text = pn_field_string(L, table, key, NULL);
    if (text != NULL && pn_tls_version_parse(pn_text_of(text), &version) != 0) {
        pn_field_error(L, key, "a version from \"1.0\" to \"1.3\"", -1);
    }
    return version;
}

static void read_options(lua_State *L, int table, bool is_server, pn_tls_options *o) {
    pn_check_options(L, table, known);
    luaL_checkstack(L, 16, NULL);
    *o = (pn_tls_options){.is_server = is_server};
    o->authorities = read_source(L, table, "ca", "ca_file");
    o->certificate = read_source(L, table, "cert", "cert_file");
    o->key = read_source(L, table, "key", "key_file");
    o->key_password = pn_field_string(L, table, "password", NULL);
    o->ciphers = pn_field_string(L, table, "ciphers", NULL);
    o->min_version = read_version(L, table, "min_version");
    o->max_version = read_version(L, table, "max_version");
    o->insecure_skip_verify = pn_field_boolean(L, table, "insecure_skip_verify", false);
    o->client_auth = (pn_tls_client_auth)pn_field_choice(L, table, "client_auth", client_auths, 0);
    if (is_server && o->insecure_skip_verify) {
        luaL_error(L, "option 'insecure_skip_verify' is for clients");
    }
    if (!is_server && o->client_auth != PN_TLS_CLIENT_NONE) {
        luaL_error(L, "option 'client_auth' is for servers");
    }
}

static void add_text(pn_buf *key, pn_text text) {
    uint64_t size = text.at == NULL ? UINT64_MAX : text.size;
    pn_buf_add(key, &size, sizeof size);
    pn_buf_add(key, text.at, text.size);
}

/* What the options say, in one text. */
static bool write_key(pn_buf *key, const pn_tls_options *o) {
    pn_buf_clear(key);
    const pn_tls_source *sources[] = {&o->authorities, &o->certificate, &o->key};
    for (size_t i = 0; i < 3; i++) {
        add_text(key, pn_text_of(sources[i]->file));
        add_text(key, sources[i]->pem);
    }
    add_text(key, pn_text_of(o->key_password));
    add_text(key, pn_text_of(o->ciphers));
    pn_buf_printf(key, "%d %d %d %d %d", o->is_server, o->min_version, o->max_version,
                  o->insecure_skip_verify, o->client_auth);
    return !key->failed;
}

static int find(pn_http_service *s, const pn_tls_options *options, pn_tls **tls, const char **why) {
    char reason[PN_TLS_WHY_BYTES];
    if (!write_key(&s->key, options)) return PN_ENOMEM;
    *tls = pn_cache_get(&s->tls, s->key.data, s->key.size);
    if (*tls != NULL) return 0;
    int err = pn_tls_create(s->io->ledger, options, tls, reason);
    if (err != 0) {
        pn_buf_clear(&s->text);
        pn_buf_add_text(&s->text, reason);
        *why = pn_buf_text(&s->text);
        return err;
    }
    err = pn_cache_put(&s->tls, s->key.data, s->key.size, *tls);
    if (err != 0) pn_tls_release(*tls);
    return err;
}

int pn_http_tls_find(lua_State *L, pn_http_service *s, int index, bool is_server, pn_tls **tls,
                     const char **why) {
    pn_tls_options options;
    int top = lua_gettop(L);
    read_options(L, index, is_server, &options);
    int err = find(s, &options, tls, why);
    lua_settop(L, top);
    return err;
}
