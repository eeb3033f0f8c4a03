/*
 * decimal.h - doubles to and from decimal text: exact, shortest, and the same in every locale.
 *
 * libc's strtod and printf follow LC_NUMERIC, which a script can change (os.setlocale) for the
 * whole process: what machines read must not. Reading rounds correctly (to nearest, ties to even).
 * Writing gives the shortest digits that read back as the same double, the nearest of those; "0.3",
 * not "0.29999999999999999", and "0.30000000000000004" for 0.1 + 0.2.
 *
 * Design: for decimal exponents within -27 to 27 everything is exact in 128-bit integers, because
 * 5^27 fits in 64 bits; no large table is needed. Outside, libc does it on text without a decimal
 * point.
 */
#ifndef PN_BASE_DECIMAL_H
#define PN_BASE_DECIMAL_H

#include <stddef.h>
#include <stdint.h>

/* mantissa * 10^exponent. HUGE_VAL when that is over the range of a double; 0 or a subnormal when
 * it is under it. */
double pn_decimal_to_double(uint64_t mantissa, int64_t exponent);

/* The value of [-] digits [. digits] [e|E [+|-] digits], of any length. The caller has checked the
 * form. HUGE_VAL or -HUGE_VAL over the range. */
double pn_decimal_parse(const char *text, size_t size);

/* Writes the shortest text for a finite x and returns its size, no NUL. It always shows that it is
 * no integer: "5.0", "1e21"; an exponent is used below 1e-6 and from 1e21. */
#define PN_DECIMAL_TEXT_BYTES 32
size_t pn_decimal_format(double x, char out[PN_DECIMAL_TEXT_BYTES]);

/* Writes a whole number; returns its size. */
#define PN_DECIMAL_INT_BYTES 20
size_t pn_decimal_format_int(int64_t x, char out[PN_DECIMAL_INT_BYTES]);

#endif
