#include "load/executor.h"

#define MINUTE_NS (60 * PN_NS_PER_S)
#define HOUR_NS   (60 * MINUTE_NS)

/* "05.0s", "00m05.0s" or "0h00m05.0s": as wide as the total needs. */
static void put_fixed(pn_buf *out, uint64_t ns, uint64_t total_ns) {
    unsigned long long tenths = ns / (PN_NS_PER_S / 10), hours = tenths / 36000,
                       minutes = tenths / 600 % 60;
    unsigned long long seconds = tenths / 10 % 60, rest = tenths % 10;
    if (total_ns >= HOUR_NS) {
        pn_buf_printf(out, "%lluh%02llum%02llu.%llus", hours, minutes, seconds, rest);
    } else if (total_ns >= MINUTE_NS) {
        pn_buf_printf(out, "%02llum%02llu.%llus", minutes, seconds, rest);
    } else {
        pn_buf_printf(out, "%02llu.%llus", seconds, rest);
    }
}

void pn_progress_time(pn_buf *out, uint64_t spent_ns, uint64_t total_ns) {
    char text[PN_UNITS_TEXT_BYTES];
    if (spent_ns >= total_ns) {
        pn_buf_add_text(out, pn_units_format_duration(total_ns, text));
        return;
    }
    put_fixed(out, spent_ns, total_ns);
    pn_buf_printf(out, "/%s", pn_units_format_duration(total_ns, text));
}
