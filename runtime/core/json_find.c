/* Look-up by path, see json.h: one pass over the text, no value built. */
#include "core/json.h"

#include <string.h>

/* One step of a path, and where the path goes on. */
struct step {
    bool is_index;
    uint64_t index;
    pn_json_string key;
    const char *rest;
};

struct finder {
    pn_json_reader reader;
    const char *path, *path_end;
    const char *from, *to; /* the value found last, or NULL */
};

#define INDEX_MAX (UINT64_MAX / 16) /* no text has so many elements */

/* Turns the reader to the path, for the message. */
static int bad_path(struct finder *f, const char *at, const char *expected) {
    f->reader = (pn_json_reader){.err = PN_EBAD_VALUE,
                                 .start = f->path,
                                 .where = at,
                                 .at = at,
                                 .end = f->path_end,
                                 .expected = expected};
    return PN_EBAD_VALUE;
}

static int parse_index(struct finder *f, const char *p, struct step *step) {
    *step = (struct step){.is_index = true};
    if (*p == '0') return bad_path(f, p, "an index from 1");
    for (; p < f->path_end && *p >= '0' && *p <= '9'; p++) {
        if (step->index < INDEX_MAX) step->index = step->index * 10 + (uint64_t)(*p - '0');
    }
    if (p == f->path_end || *p != ']') return bad_path(f, p, "']'");
    step->rest = p + 1;
    return 0;
}

static int parse_quoted(struct finder *f, const char *p, struct step *step) {
    pn_json_reader quoted;
    pn_json_reader_init(&quoted, p, (size_t)(f->path_end - p),
                        &(pn_json_limits){.size_max_bytes = SIZE_MAX});
    if (pn_json_read(&quoted) != PN_JSON_STRING) return bad_path(f, quoted.where, "a JSON string");
    *step = (struct step){.key = quoted.string, .rest = quoted.at};
    if (step->rest == f->path_end || *step->rest != ']') return bad_path(f, step->rest, "']'");
    step->rest++;
    return 0;
}

/* The step at p, which is not the end of the path. */
static int parse_step(struct finder *f, const char *p, struct step *step) {
    if (*p == '[') {
        p++;
        if (p < f->path_end && *p == '"') return parse_quoted(f, p, step);
        if (p < f->path_end && *p >= '0' && *p <= '9') return parse_index(f, p, step);
        return bad_path(f, p, "an index or a JSON string");
    }
    if (p > f->path) {
        if (*p != '.') return bad_path(f, p, "'.' or '['");
        p++;
    }
    const char *name = p;
    while (p < f->path_end && *p != '.' && *p != '[' && *p != ']') p++;
    if (p == name) return bad_path(f, p, "a name");
    *step = (struct step){.key = {name, (size_t)(p - name), false}, .rest = p};
    return 0;
}

static int check_path(struct finder *f) {
    struct step step;
    for (const char *p = f->path; p < f->path_end; p = step.rest) {
        int err = parse_step(f, p, &step);
        if (err != 0) return err;
    }
    return 0;
}

/* Reads over the value that the reader has just begun, and notes what is at `path` from there.
 * Recursion is bounded by the depth limit: each call but the last is within one more array or
 * object. */
static void descend(struct finder *f, const char *path) {
    pn_json_reader *r = &f->reader;
    struct step step;
    f->from = NULL; /* of equal keys the last one counts, whatever an earlier one held */
    if (path == f->path_end) {
        f->from = r->where;
        pn_json_skip(r);
        f->to = r->at;
        return;
    }
    if (r->token != PN_JSON_ARRAY && r->token != PN_JSON_OBJECT) return;
    if (parse_step(f, path, &step) != 0) pn_unreachable(); /* check_path has been over it */
    if (step.is_index != (r->token == PN_JSON_ARRAY)) {
        pn_json_skip(r);
        return;
    }
    uint64_t index = 0;
    for (;;) {
        pn_json_token token = pn_json_read(r);
        if (token <= PN_JSON_END || token == PN_JSON_ARRAY_END || token == PN_JSON_OBJECT_END)
            return;
        bool is_wanted;
        if (step.is_index) {
            is_wanted = ++index == step.index;
        } else {
            is_wanted = pn_json_same(&r->string, &step.key);
            if (pn_json_read(r) == PN_JSON_ERROR) return;
        }
        if (is_wanted) {
            descend(f, step.rest);
        } else {
            pn_json_skip(r);
        }
        if (r->err != 0) return;
    }
}

int pn_json_find(const char *text, size_t size, const char *path, size_t path_size,
                 const pn_json_limits *limits, pn_json_reader *value) {
    struct finder f = {.path = path, .path_end = path_size > 0 ? path + path_size : path};
    int err = check_path(&f);
    if (err == 0) {
        pn_json_reader_init(&f.reader, text, size, limits);
        if (pn_json_read(&f.reader) != PN_JSON_ERROR) descend(&f, path);
        if (f.reader.err == 0) pn_json_read(&f.reader); /* nothing may follow */
        err = f.reader.err;
    }
    if (err == 0 && f.from == NULL) err = f.reader.err = PN_ENOT_FOUND;
    *value = f.reader;
    if (err != 0) return err;
    pn_json_limits same = {f.reader.depth_max, f.reader.size_max_bytes};
    pn_json_reader_init(value, f.from, (size_t)(f.to - f.from), &same);
    return 0;
}
