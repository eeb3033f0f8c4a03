#include "net/inflate.h"

#include <zlib.h>

#include "base/err.h"

#define OUTPUT_STEP_BYTES 16384
#define GZIP_WINDOW       (16 + MAX_WBITS) /* what inflateInit2 takes for gzip */

struct pn_inflate {
    pn_ledger *ledger;
    z_stream zlib;
    pn_encoding encoding;
    bool is_open;  /* zlib is initialised */
    bool is_ended; /* the end of a member was there, and nothing came behind it */
    bool has_input;
    uint8_t held; /* of deflate: the first byte, before the second has come */
    bool has_held;
};

pn_encoding pn_encoding_parse(pn_text value) {
    pn_text member, more;
    if (!pn_text_next_member(&value, &member)) return PN_ENCODING_IDENTITY;
    if (pn_text_next_member(&value, &more)) return PN_ENCODING_UNKNOWN;
    if (pn_text_equal_nocase(member, PN_TEXT("identity"))) return PN_ENCODING_IDENTITY;
    if (pn_text_equal_nocase(member, PN_TEXT("gzip"))) return PN_ENCODING_GZIP;
    if (pn_text_equal_nocase(member, PN_TEXT("x-gzip"))) return PN_ENCODING_GZIP;
    if (pn_text_equal_nocase(member, PN_TEXT("deflate"))) return PN_ENCODING_DEFLATE;
    return PN_ENCODING_UNKNOWN;
}

/* zlib frees without a size: it is kept in front of the block. */
static void *zlib_get(void *ledger, unsigned count, unsigned size) {
    size_t bytes = (size_t)count * size + 16;
    size_t *block = pn_mem_try(ledger, bytes);
    if (block == NULL) return NULL;
    block[0] = bytes;
    return block + 2;
}

static void zlib_put(void *ledger, void *block) {
    size_t *start = (size_t *)block - 2;
    pn_mem_free(ledger, start, start[0]);
}

pn_inflate *pn_inflate_create(pn_ledger *ledger, pn_encoding encoding) {
    pn_assert(encoding == PN_ENCODING_GZIP || encoding == PN_ENCODING_DEFLATE);
    pn_inflate *decoder = pn_mem_try_zeroed(ledger, sizeof *decoder);
    if (decoder == NULL) return NULL;
    decoder->ledger = ledger;
    decoder->encoding = encoding;
    decoder->zlib.zalloc = zlib_get;
    decoder->zlib.zfree = zlib_put;
    decoder->zlib.opaque = ledger;
    return decoder;
}

void pn_inflate_destroy(pn_inflate *decoder) {
    if (decoder == NULL) return;
    if (decoder->is_open) inflateEnd(&decoder->zlib);
    pn_mem_free(decoder->ledger, decoder, sizeof *decoder);
}

static int open_zlib(pn_inflate *decoder, int window) {
    int err = inflateInit2(&decoder->zlib, window);
    if (err != Z_OK) return err == Z_MEM_ERROR ? PN_ENOMEM : PN_EBAD_ENCODING;
    decoder->is_open = true;
    return 0;
}

/* RFC 1950, 2.2: the method is 8 and both bytes together are a multiple of 31. */
static bool is_zlib_header(uint8_t first, uint8_t second) {
    return (first & 15) == 8 && (first * 256 + second) % 31 == 0;
}

/* What one call of zlib gave. 1: a member has ended. */
static int state_of(int zlib_state) {
    switch (zlib_state) {
    case Z_OK:
    case Z_BUF_ERROR: return 0; /* no progress without more input */
    case Z_STREAM_END: return 1;
    case Z_MEM_ERROR: return PN_ENOMEM;
    default: return PN_EBAD_ENCODING;
    }
}

/* Room to decode to; less than a step when the limit is near. */
static size_t room_of(pn_buf *out) {
    size_t left = out->limit_bytes - out->size;
    size_t want = left < OUTPUT_STEP_BYTES ? left : OUTPUT_STEP_BYTES;
    return want > 0 && pn_buf_reserve(out, want) ? want : 0;
}

/* At the output's limit: is there more, or was that all? A byte of room that is not the buffer's
 * tells. */
static int check_limit(pn_inflate *decoder, pn_buf *out) {
    if (out->failed) return PN_ENOMEM;
    z_stream *zlib = &decoder->zlib;
    uint8_t probe;
    zlib->next_out = &probe;
    zlib->avail_out = 1;
    int state = state_of(inflate(zlib, Z_NO_FLUSH));
    if (zlib->avail_out == 0) return PN_ETOO_LARGE;
    return state;
}

static int run_zlib(pn_inflate *decoder, pn_buf *out) {
    z_stream *zlib = &decoder->zlib;
    while (true) {
        size_t room = room_of(out);
        int state;
        if (room == 0) {
            state = check_limit(decoder, out);
            if (state == 0) return 0;
        } else {
            zlib->next_out = (uint8_t *)out->data + out->size;
            zlib->avail_out = (unsigned)room;
            state = state_of(inflate(zlib, Z_NO_FLUSH));
            out->size += room - zlib->avail_out;
            if (state == 0 && zlib->avail_out > 0) return 0; /* all input is used */
        }
        if (state < 0) return state;
        if (state == 1) return 1;
    }
}

static int feed_zlib(pn_inflate *decoder, const char *data, size_t size, pn_buf *out) {
    z_stream *zlib = &decoder->zlib;
    zlib->next_in = (uint8_t *)(uintptr_t)data;
    zlib->avail_in = (unsigned)size;
    while (zlib->avail_in > 0 || !decoder->is_ended) {
        if (decoder->is_ended) { /* another member */
            if (decoder->encoding != PN_ENCODING_GZIP) return PN_EBAD_ENCODING;
            if (inflateReset(zlib) != Z_OK) return PN_EBAD_ENCODING;
            decoder->is_ended = false;
        }
        int state = run_zlib(decoder, out);
        if (state < 0) return state;
        if (state == 0) return 0;
        decoder->is_ended = true;
    }
    return 0;
}

/* Of deflate: which of the two formats it is. 1: the second byte has not come. */
static int begin_deflate(pn_inflate *decoder, const char *data, size_t size, pn_buf *out) {
    uint8_t first = decoder->has_held ? decoder->held : (uint8_t)data[0];
    if (!decoder->has_held && size == 1) {
        decoder->held = first;
        decoder->has_held = true;
        return 1;
    }
    uint8_t second = (uint8_t)data[decoder->has_held ? 0 : 1];
    int err = open_zlib(decoder, is_zlib_header(first, second) ? MAX_WBITS : -MAX_WBITS);
    if (err != 0 || !decoder->has_held) return err;
    decoder->has_held = false;
    return feed_zlib(decoder, (const char *)&first, 1, out);
}

int pn_inflate_feed(pn_inflate *decoder, const char *data, size_t size, pn_buf *out) {
    if (size == 0) return 0;
    decoder->has_input = true;
    if (!decoder->is_open) {
        int state = decoder->encoding == PN_ENCODING_GZIP ? open_zlib(decoder, GZIP_WINDOW)
                                                          : begin_deflate(decoder, data, size, out);
        if (state != 0) return state < 0 ? state : 0;
    }
    while (size > 0) { /* zlib counts in 32 bits */
        size_t part = size < UINT32_MAX ? size : UINT32_MAX;
        int err = feed_zlib(decoder, data, part, out);
        if (err != 0) return err;
        data += part;
        size -= part;
    }
    return 0;
}

int pn_inflate_finish(pn_inflate *decoder) {
    return !decoder->has_input || decoder->is_ended ? 0 : PN_EBAD_ENCODING;
}

static int decode(const pn_http_message *message, pn_inflate *decoder, pn_buf *out) {
    const pn_slice *cursor = NULL;
    pn_text piece;
    while (pn_http_message_next_piece(message, &cursor, &piece)) {
        int err = pn_inflate_feed(decoder, piece.at, piece.size, out);
        if (err != 0) return err;
    }
    return pn_inflate_finish(decoder);
}

int pn_http_message_decode(const pn_http_message *message, pn_buf *out) {
    pn_encoding encoding =
        pn_encoding_parse(pn_http_message_header(message, PN_TEXT("content-encoding")));
    if (encoding == PN_ENCODING_IDENTITY || message->body_bytes == 0) {
        if (pn_http_message_gather(message, out)) return 0;
        return message->body_bytes > out->limit_bytes - out->size ? PN_ETOO_LARGE : PN_ENOMEM;
    }
    if (encoding == PN_ENCODING_UNKNOWN) return PN_EBAD_ENCODING;
    pn_inflate *decoder = pn_inflate_create(message->slabs->ledger, encoding);
    if (decoder == NULL) return PN_ENOMEM;
    int err = decode(message, decoder, out);
    pn_inflate_destroy(decoder);
    return err;
}
