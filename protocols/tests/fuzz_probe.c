/* SPDX-License-Identifier: Apache-2.0 */
/* Compiles if there is a libFuzzer. */
#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    (void)data;
    return length > SIZE_MAX - 1;
}
