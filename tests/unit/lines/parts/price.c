/* SPDX-License-Identifier: Apache-2.0 */
#include "price.h"

__attribute__((noinline)) int price_of(int item)
{
    int price = 1;
    while (item > 0) {
        price = discounted(price * 3);
        item--;
    }
    return price;
}
