#include "core/NAME.h"

#include "base/err.h"

struct pn_NAME {
    pn_ledger *ledger;
    uint64_t value, limit;
};

pn_NAME *pn_NAME_create(pn_ledger *ledger, uint64_t limit) {
    pn_NAME *self = pn_mem_try(ledger, sizeof *self);
    if (self == NULL) return NULL;
    *self = (pn_NAME){.ledger = ledger, .limit = limit > 0 ? limit : PN_GUARD_LIMIT_DEFAULT};
    return self;
}

void pn_NAME_destroy(pn_NAME *self) {
    if (self != NULL) pn_mem_free(self->ledger, self, sizeof *self);
}

int pn_NAME_add(pn_NAME *self, uint64_t amount) {
    if (amount > self->limit - self->value) return PN_ELIMIT;
    self->value += amount;
    return 0;
}

uint64_t pn_NAME_value(const pn_NAME *self) { return self->value; }
