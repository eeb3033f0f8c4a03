#include "core/request_id.h"

#include <string.h>

static size_t block_bytes(size_t size) { return sizeof(pn_request_id) + size + 1; }

pn_request_id *pn_request_id_create(pn_ledger *ledger, const char *text, size_t size) {
    pn_assert(size <= PN_REQUEST_ID_MAX_BYTES);
    pn_request_id *id = pn_mem_try(ledger, block_bytes(size));
    if (id == NULL) return NULL;
    atomic_init(&id->refs, 1);
    id->size = (uint32_t)size;
    id->ledger = ledger;
    memcpy(id->text, text, size);
    id->text[size] = '\0';
    return id;
}

pn_request_id *pn_request_id_grab(pn_request_id *id) {
    if (id != NULL) atomic_fetch_add_explicit(&id->refs, 1, memory_order_relaxed);
    return id;
}

void pn_request_id_release(pn_request_id *id) {
    if (id == NULL || atomic_fetch_sub_explicit(&id->refs, 1, memory_order_acq_rel) > 1) return;
    pn_mem_free(id->ledger, id, block_bytes(id->size));
}
