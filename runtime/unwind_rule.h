/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How the frame that an address belongs to is left, as its object's .eh_frame says (Linux Standard
 * Base Core 5.0, 10.6; DWARF 5, 6.4). What unwind.c asks for an address that it does not remember.
 */
#pragma once

#include <stdint.h>

/* AT_FRAME: it is stored there, in frames whose stack was aligned anew. */
enum base { BASE_UNKNOWN, BASE_STACK, BASE_FRAME, BASE_AT_FRAME };
/* AT_FRAME: at an offset from the frame pointer. */
enum saved { SAVED_SAME, SAVED_AT, SAVED_AT_FRAME, SAVED_UNKNOWN };

/* How a frame is left: the canonical frame address is a register and an offset; the return address
 * and the frame pointer lie at offsets from it. */
struct rule {
    int32_t offset;
    int16_t return_at, frame_at;
    uint8_t base;       /* enum base */
    uint8_t return_how; /* enum saved */
    uint8_t frame_how;  /* enum saved */
    uint8_t is_outermost;
};

/* base is BASE_UNKNOWN where nothing is known. Any thread; takes no lock. */
struct rule unwind_rule(uintptr_t address);
