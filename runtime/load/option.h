/*
 * option.h - options as data: which keys there are, what each may hold, where its value goes.
 *
 * One table of pn_option checks the same key whether a script, a config file, the environment or a
 * flag says it; whoever reads one of those makes a pn_value of what he finds. What is wrong comes
 * back as one sentence that begins with the key.
 *
 * Everything here is pure.
 */
#ifndef PN_LOAD_OPTION_H
#define PN_LOAD_OPTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/units.h"

#define PN_LOAD_MESSAGE_BYTES 512 /* of every `message` in load/ */

typedef enum pn_value_type {
    PN_VALUE_BOOLEAN,
    PN_VALUE_INTEGER,
    PN_VALUE_NUMBER,
    PN_VALUE_TEXT,
    PN_VALUE_OTHER, /* a table, a function ... */
} pn_value_type;

/* A value as somebody wrote it. */
typedef struct pn_value {
    pn_value_type type;
    bool boolean;
    int64_t integer;
    double number;
    const char *text; /* TEXT; of OTHER: what it is ("a table") */
    size_t size;
} pn_value;

typedef enum pn_option_kind {
    PN_OPTION_COUNT,    /* a whole number; uint64_t */
    PN_OPTION_DURATION, /* nanoseconds; uint64_t */
} pn_option_kind;

typedef struct pn_option {
    const char *key; /* NULL ends a table */
    pn_option_kind kind;
    size_t offset; /* of its uint64_t in what is filled */
    uint64_t absent, min, max;
    bool is_required;
} pn_option;

/* Checks the value and stores it. 0, or PN_EBAD_CONFIG and a message. */
int pn_option_set(const pn_option *option, void *target, const pn_value *value,
                  char message[PN_LOAD_MESSAGE_BYTES]);

/* Stores the value of an absent option. PN_EBAD_CONFIG if it is required. */
int pn_option_set_absent(const pn_option *option, void *target,
                         char message[PN_LOAD_MESSAGE_BYTES]);

/* The value that a text stands for: in flags and the environment, "20" is a number. */
pn_value pn_value_of_text(const char *text);

/* "got" part of a message: the value itself where that is short. Returns `out`. */
#define PN_VALUE_SHOWN_BYTES 96
const char *pn_value_show(const pn_value *value, char out[PN_VALUE_SHOWN_BYTES]);

/* Writes a message and returns PN_EBAD_CONFIG. */
int pn_load_refuse(char message[PN_LOAD_MESSAGE_BYTES], const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
