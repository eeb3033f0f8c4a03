/*
 * units.h - quantities as people write them: durations ("250ms", "1m30s") and sizes ("64KB").
 *
 * The grammar is the one of docs/scripting.md. Nothing is guessed: an unknown unit, an empty text,
 * a sign or a value that does not fit is an error, never a default.
 */
#ifndef PN_BASE_UNITS_H
#define PN_BASE_UNITS_H

#include <stddef.h>
#include <stdint.h>

#define PN_NS_PER_US 1000ULL
#define PN_NS_PER_MS 1000000ULL
#define PN_NS_PER_S  1000000000ULL

/* The longest duration accepted: 100 years, so that now + duration never overflows. */
#define PN_DURATION_MAX_NS (100ULL * 365 * 24 * 3600 * PN_NS_PER_S)

/* So that a size fits every signed count of bytes, and an integer of Lua. */
#define PN_SIZE_MAX_BYTES ((uint64_t)INT64_MAX)

/* duration = { number unit }, number = digits [ "." digits ], unit = h | m | s | ms | us | ns, each
 * unit at most once and from the largest to the smallest; a number alone is seconds. Exact to 18
 * decimals; what is finer than a nanosecond is cut off. PN_EBAD_UNIT, or PN_ETOO_LARGE. */
int pn_units_parse_duration(const char *text, size_t size, uint64_t *ns);

/* A number of seconds: PN_EBAD_UNIT for a negative or non-finite one, PN_ETOO_LARGE past the
 * maximum. */
int pn_units_seconds_to_ns(double seconds, uint64_t *ns);

/* size = digits [ "." digits ] [ B | KB | MB | GB | TB ], powers of 1024; a number alone is bytes.
 * What is finer than a byte is cut off. PN_EBAD_UNIT, or PN_ETOO_LARGE. */
int pn_units_parse_size(const char *text, size_t size, uint64_t *bytes);

/* "0s", "250ms", "1.5s", "1m30s", "10m40s", "2h": units that are zero are left out, the last one
 * has up to three decimals, rounded; from a second on that is milliseconds. What was written so can
 * be parsed. Returns `text`, which needs PN_UNITS_TEXT_BYTES. */
#define PN_UNITS_TEXT_BYTES 48
const char *pn_units_format_duration(uint64_t ns, char text[PN_UNITS_TEXT_BYTES]);

/* "0B", "1.5MB": powers of 1024, up to three decimals, rounded. */
const char *pn_units_format_size(uint64_t bytes, char text[PN_UNITS_TEXT_BYTES]);

#endif
