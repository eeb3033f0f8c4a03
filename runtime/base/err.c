#include "base/err.h"

#include <string.h>

struct entry {
    const char *name;
    const char *text;
};

static const struct entry entries[] = {
#define X(name, lua, text) {lua, text},
    PN_ERR_MAP(X)
#undef X
};

static const struct entry *own(int code) {
    int index = PN_ERR_BASE - code;
    return index >= 0 && index < (int)PN__ERR_COUNT ? &entries[index] : NULL;
}

const char *pn_err_name(int code) {
    const struct entry *e = own(code);
    if (e != NULL) return e->name;
    const char *name = strerrorname_np(-code);
    return name != NULL && code < 0 ? name : "unknown";
}

const char *pn_err_text(int code) {
    const struct entry *e = own(code);
    if (e != NULL) return e->text;
    const char *text = code < 0 ? strerrordesc_np(-code) : NULL;
    return text != NULL ? text : "unknown error";
}

int pn_err_from_name(const char *name) {
    for (int i = 0; i < (int)PN__ERR_COUNT; i++) {
        if (strcmp(entries[i].name, name) == 0) return PN_ERR_BASE - i;
    }
    return PN_EUNKNOWN;
}
