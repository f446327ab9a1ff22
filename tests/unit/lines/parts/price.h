/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#ifdef __cplusplus
extern "C"
#endif
int price_of(int item);

static inline int discounted(int price)
{
    if (price > 100)
        return price - price / 10;
    return price;
}
