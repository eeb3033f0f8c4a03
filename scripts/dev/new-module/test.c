/* The engine of NAME: it counts to its limit and not past it, and leaves nothing behind. */
#include "base/err.h"
#include "core/NAME.h"
#include "test.h"

TEST(NAME_counts_to_its_limit) {
    pn_heap *heap = pn_heap_create(false);
    pn_ledger ledger;
    pn_ledger_init_shared(&ledger, "test", heap);
    pn_NAME *self = pn_NAME_create(&ledger, 10);
    CHECK_EQ(pn_NAME_add(self, 7), 0);
    CHECK_EQ(pn_NAME_add(self, 4), PN_ELIMIT);
    CHECK_EQ(pn_NAME_value(self), 7);
    CHECK_EQ(pn_NAME_add(self, 3), 0);
    CHECK_EQ(pn_NAME_value(self), 10);
    pn_NAME_destroy(self);
    CHECK_EQ(pn_ledger_live(&ledger), 0);
    pn_heap_destroy(heap);
}
