#include "base/err.h"

#include <stdbool.h>
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

#define ERRNO_MAX 4095 /* of Linux and libuv; -code is safe down to there */

static const struct entry *own(int code) {
    bool is_own = code <= PN_ERR_BASE && code > PN_ERR_BASE - (int)PN__ERR_COUNT;
    return is_own ? &entries[PN_ERR_BASE - code] : NULL;
}

const char *pn_err_name(int code) {
    const struct entry *e = own(code);
    if (e != NULL) return e->name;
    const char *name = code < 0 && code >= -ERRNO_MAX ? strerrorname_np(-code) : NULL;
    return name != NULL ? name : "unknown";
}

const char *pn_err_text(int code) {
    const struct entry *e = own(code);
    if (e != NULL) return e->text;
    const char *text = code < 0 && code >= -ERRNO_MAX ? strerrordesc_np(-code) : NULL;
    return text != NULL ? text : "unknown error";
}

int pn_err_from_name(const char *name) {
    for (int i = 0; i < (int)PN__ERR_COUNT; i++) {
        if (strcmp(entries[i].name, name) == 0) return PN_ERR_BASE - i;
    }
    return PN_EUNKNOWN;
}
