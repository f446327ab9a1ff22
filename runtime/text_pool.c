/* SPDX-License-Identifier: Apache-2.0 */
#include "text_pool.h"

struct pool text_pools[2] = {{.block_bytes = TEXT_SMALL_BYTES, .clear_bytes = 8},
    {.block_bytes = TEXT_BIG_BYTES, .clear_bytes = 8}};
