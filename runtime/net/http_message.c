#include "net/http_message.h"

#include "base/err.h"
#include "net/http_headers.h"

#define SCRAP_BLOCK_BYTES_MAX 32768

void pn_http_message_init(pn_http_message *message, pn_http_charge_fn charge, void *charge_owner) {
    *message = (pn_http_message){.charge = charge, .charge_owner = charge_owner};
}

static bool charge(pn_http_message *message, size_t bytes) {
    if (message->charge != NULL && !message->charge(message->charge_owner, (int64_t)bytes)) {
        return false;
    }
    message->held_bytes += bytes;
    return true;
}

static void free_slice(pn_slabs *slabs, pn_slice *slice) {
    pn_slice_drop(slabs, slice);
    pn_mem_free(slabs->ledger, slice, sizeof *slice);
}

void pn_http_message_close(pn_http_message *message) {
    pn_slabs *slabs = message->slabs;
    if (slabs == NULL) return;
    message->slabs = NULL;
    pn_slice *slice = message->first.next;
    while (slice != NULL) {
        pn_slice *next = slice->next;
        free_slice(slabs, slice);
        slice = next;
    }
    pn_slice_drop(slabs, &message->first);
    if (message->trailers != NULL) free_slice(slabs, message->trailers);
    message->first.next = NULL;
    message->trailers = NULL;
    if (message->charge != NULL && message->held_bytes > 0) {
        message->charge(message->charge_owner, -(int64_t)message->held_bytes);
    }
    message->held_bytes = 0;
}

int pn_http_message_keep_head(pn_http_message *message, pn_slabs *slabs, const pn_http_head *head,
                              char *data, bool in_slab) {
    pn_assert(message->slabs == NULL);
    if (!charge(message, head->size)) return PN_ENOMEM;
    if (in_slab) {
        pn_slice_keep(slabs, &message->first, data, head->size);
    } else if (pn_slice_copy(slabs, &message->first, data, head->size) != 0) {
        if (message->charge != NULL) message->charge(message->charge_owner, -(int64_t)head->size);
        message->held_bytes -= head->size;
        return PN_ENOMEM;
    }
    message->slabs = slabs;
    message->head = *head;
    message->last = &message->first;
    message->body_at = head->size;
    message->body_bytes = 0;
    message->body_kept = true;
    return 0;
}

/* Behind the last slice in the same slab; chunk framing between the head and the first piece is
 * kept with it, between pieces it is not there any more. */
static bool extend_last(pn_http_message *message, const char *data, size_t size) {
    pn_slice *last = message->last;
    const char *end = last->data + last->size;
    bool is_first_piece = last == &message->first && last->size == message->body_at;
    if (last->slab == NULL || data < end || (data > end && !is_first_piece)) return false;
    if (data > end && data - end > PN_HTTP_SCRAP_BYTES) return false;
    if (!pn_slice_extend(message->slabs, last, data + size)) return false;
    if (is_first_piece) message->body_at = (uint32_t)(data - last->data);
    return true;
}

static pn_slice *append_slice(pn_http_message *message) {
    pn_slice *slice = pn_mem_try_zeroed(message->slabs->ledger, sizeof *slice);
    if (slice == NULL) return NULL;
    message->last->next = slice;
    message->last = slice;
    return slice;
}

/* Room for a scrap at the end of a block that the last slice owns. */
static bool grow_scrap_block(pn_http_message *message, pn_slice *last, size_t size) {
    if (last == &message->first || last->slab != NULL || last->data == NULL) return false;
    if (last->capacity - last->size >= size) return true;
    size_t capacity = (size_t)last->capacity * 2;
    if (capacity > SCRAP_BLOCK_BYTES_MAX) return false;
    char *block = pn_mem_resize(message->slabs->ledger, last->data, last->capacity, capacity);
    if (block == NULL) return false;
    last->data = block;
    last->capacity = (uint32_t)capacity;
    return true;
}

static int add_scrap(pn_http_message *message, const char *data, size_t size) {
    pn_slice *last = message->last;
    if (!grow_scrap_block(message, last, size)) {
        char *block = pn_mem_try(message->slabs->ledger, PN_HTTP_SCRAP_BYTES);
        if (block == NULL) return PN_ENOMEM;
        last = append_slice(message);
        if (last == NULL) {
            pn_mem_free(message->slabs->ledger, block, PN_HTTP_SCRAP_BYTES);
            return PN_ENOMEM;
        }
        last->data = block;
        last->capacity = PN_HTTP_SCRAP_BYTES;
    }
    memcpy(last->data + last->size, data, size);
    last->size += (uint32_t)size;
    return 0;
}

static int add_piece(pn_http_message *message, char *data, size_t size, bool in_slab) {
    if (size <= PN_HTTP_SCRAP_BYTES) return add_scrap(message, data, size);
    pn_slice *slice = append_slice(message);
    if (slice == NULL) return PN_ENOMEM;
    if (in_slab) {
        pn_slice_keep(message->slabs, slice, data, size);
        return 0;
    }
    return pn_slice_copy(message->slabs, slice, data, size);
}

int pn_http_message_keep_body(pn_http_message *message, char *data, size_t size, bool in_slab) {
    message->body_bytes += size;
    if (size == 0) return 0;
    if (!charge(message, size)) return PN_ENOMEM;
    if (in_slab && extend_last(message, data, size)) return 0;
    return add_piece(message, data, size, in_slab);
}

int pn_http_message_keep_trailers(pn_http_message *message, const char *data, size_t size) {
    if (size == 0) return 0;
    pn_slice *slice = pn_mem_try_zeroed(message->slabs->ledger, sizeof *slice);
    if (slice == NULL) return PN_ENOMEM;
    if (!charge(message, size) || pn_slice_copy(message->slabs, slice, data, size) != 0) {
        pn_mem_free(message->slabs->ledger, slice, sizeof *slice);
        return PN_ENOMEM;
    }
    message->trailers = slice;
    return 0;
}

/* ---- looking ---- */

pn_text pn_http_message_header(const pn_http_message *message, pn_text name) {
    return pn_http_headers_find(pn_http_message_headers(message), name);
}

pn_text pn_http_message_target(const pn_http_message *message) {
    if (message->slabs == NULL) return PN_TEXT_NONE;
    return pn_text_make(message->first.data + message->head.target_at, message->head.target_size);
}

/* Behind "HTTP/1.x NNN " up to the line's end. */
pn_text pn_http_message_reason(const pn_http_message *message) {
    if (message->slabs == NULL || message->head.headers_at < 15) return PN_TEXT_NONE;
    return pn_text_make(message->first.data + 13, message->head.headers_at - 15);
}

pn_text pn_http_message_trailers(const pn_http_message *message) {
    const pn_slice *slice = message->trailers;
    return slice == NULL ? PN_TEXT_NONE : pn_text_make(slice->data, slice->size);
}

static pn_text body_of(const pn_http_message *message, const pn_slice *slice) {
    size_t skip = slice == &message->first ? message->body_at : 0;
    return pn_text_make(slice->data + skip, slice->size - skip);
}

bool pn_http_message_next_piece(const pn_http_message *message, const pn_slice **cursor,
                                pn_text *piece) {
    if (message->slabs == NULL) return false;
    do {
        *cursor = *cursor == NULL ? &message->first : (*cursor)->next;
        if (*cursor == NULL) return false;
        *piece = body_of(message, *cursor);
    } while (piece->size == 0);
    return true;
}

bool pn_http_message_view(const pn_http_message *message, pn_text *view) {
    const pn_slice *cursor = NULL;
    pn_text more;
    *view = PN_TEXT("");
    if (!pn_http_message_next_piece(message, &cursor, view)) return true;
    return !pn_http_message_next_piece(message, &cursor, &more);
}

bool pn_http_message_gather(const pn_http_message *message, pn_buf *out) {
    const pn_slice *cursor = NULL;
    pn_text piece;
    while (pn_http_message_next_piece(message, &cursor, &piece)) {
        if (!pn_buf_add(out, piece.at, piece.size)) return false;
    }
    return true;
}

/* ---- receiving ---- */

void pn_http_receiver_init(pn_http_receiver *receiver, bool is_request,
                           const pn_http_limits *limits, pn_ledger *ledger) {
    pn_http_parser_init(&receiver->parser, is_request, limits);
    pn_buf_init(&receiver->partial, &ledger->door);
}

void pn_http_receiver_close(pn_http_receiver *receiver) { pn_buf_close(&receiver->partial); }

int pn_http_receiver_begin(pn_http_receiver *receiver, pn_http_input *input, char *data,
                           size_t size) {
    *input = (pn_http_input){data, size, true};
    if (PN_LIKELY(receiver->partial.size == 0)) return 0;
    if (!pn_buf_add(&receiver->partial, data, size)) return PN_ENOMEM;
    *input = (pn_http_input){receiver->partial.data, receiver->partial.size, false};
    return 0;
}

int pn_http_receiver_end(pn_http_receiver *receiver, pn_http_input *input) {
    if (!input->in_slab) {
        pn_buf_consume(&receiver->partial, receiver->partial.size - input->left);
        if (receiver->partial.size == 0) pn_buf_close(&receiver->partial);
        return 0;
    }
    if (PN_LIKELY(input->left == 0)) return 0;
    return pn_buf_add(&receiver->partial, input->at, input->left) ? 0 : PN_ENOMEM;
}
