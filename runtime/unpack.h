/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What zlib has packed (RFC 1950 and 1951), as sections of debug files are. Exporter thread only:
 * its tables of codes are static. Allocates nothing, and takes nothing that the stream says on
 * trust: each step writes a byte at least or ends, and none is written beyond what there is room
 * for.
 */
#pragma once

#include "line_bytes.h"

/* True: these are exactly `size` bytes, whole and unbroken by their checksum. What follows the
 * stream does not matter. */
bool unpack_zlib(struct line_bytes *in, uint8_t *out, size_t size);
