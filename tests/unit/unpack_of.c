/* SPDX-License-Identifier: Apache-2.0 */
/* unpack_of: of each stream on stdin, behind two numbers of 32 bits, its unpacked and its own
 * length: a byte, 1 or 0 for broken, and if it is whole what it holds. */
#include <stdio.h>
#include <stdlib.h>

#include "unpack.h"

/* In blocks of their exact sizes, so that ASan sees both ends. */
static bool tell(uint32_t size, uint32_t length)
{
    uint8_t *packed = malloc(length), *out = malloc(size);
    if (packed == NULL || out == NULL || fread(packed, 1, length, stdin) != length)
        return false;
    struct byte_range range = {.memory = packed};
    bool is_whole = unpack_zlib(line_bytes_at(-1, &range, 0, length), out, size);
    putchar(is_whole);
    if (is_whole)
        fwrite(out, 1, size, stdout);
    free(packed);
    free(out);
    return true;
}

int main(void)
{
    uint32_t lengths[2];
    while (fread(lengths, sizeof(lengths), 1, stdin) == 1)
        if (!tell(lengths[0], lengths[1]))
            return 2;
    return 0;
}
