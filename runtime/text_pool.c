/* SPDX-License-Identifier: Apache-2.0 */
#include "text_pool.h"

struct pool text_pools[2] = {{.block_shift = TEXT_SMALL_SHIFT, .clear_bytes = 8},
    {.block_shift = TEXT_BIG_SHIFT, .clear_bytes = 8}};
