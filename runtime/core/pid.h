/*
 * pid.h - the identity of an actor: a value, not a pointer.
 *
 * A pid is a slot number and the generation of the slot's owner. When an actor ends, its slot's
 * generation moves on, so a message to a dead actor whose slot was reused never arrives. A pid fits
 * a Lua light userdata: it compares, keys tables and costs no allocation. 0 is nobody.
 */
#ifndef PN_CORE_PID_H
#define PN_CORE_PID_H

#include <stdbool.h>
#include <stdint.h>

typedef uint64_t pn_pid;

#define PN_PID_SLOT_BITS       28
#define PN_PID_GENERATION_BITS 28
#define PN_PID_TAG             0x50ULL /* in the top byte: tells a pid from other light userdata */
#define PN_PID_TAG_SHIFT       56
#define PN_PID_TEXT_BYTES      32

static inline pn_pid pn_pid_make(uint32_t slot, uint32_t generation) {
    return PN_PID_TAG << PN_PID_TAG_SHIFT | (uint64_t)generation << PN_PID_SLOT_BITS | slot;
}

static inline bool pn_pid_valid(pn_pid pid) { return pid >> PN_PID_TAG_SHIFT == PN_PID_TAG; }

static inline uint32_t pn_pid_slot(pn_pid pid) {
    return (uint32_t)(pid & ((1ULL << PN_PID_SLOT_BITS) - 1));
}

static inline uint32_t pn_pid_generation(pn_pid pid) {
    return (uint32_t)(pid >> PN_PID_SLOT_BITS & ((1ULL << PN_PID_GENERATION_BITS) - 1));
}

/* "<pid slot.generation>" */
const char *pn_pid_text(pn_pid pid, char text[PN_PID_TEXT_BYTES]);

#endif
