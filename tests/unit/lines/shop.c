/* SPDX-License-Identifier: Apache-2.0 */
/* Code for test_lines: loops, inlined functions, calls, branches; another unit in a folder. */
#include "parts/price.h"

#include <stdio.h>

static int sum(const int *numbers, int count)
{
    int total = 0;
    for (int i = 0; i < count; i++)
        total += discounted(numbers[i]);
    return total;
}

__attribute__((noinline)) int fill_cart(int count)
{
    int numbers[16] = {0};
    for (int i = 0; i < count && i < 16; i++) {
        if (i % 3 == 0)
            numbers[i] = price_of(i);
        else
            numbers[i] = price_of(i + 1) *
                         2;
    }
    return sum(numbers, 16);
}

int main(int count, char **arguments)
{
    switch (count) {
    case 1:
        return fill_cart(3) == 0;
    case 2:
        puts("two");
        return fill_cart(5) == 0;
    default:
        printf("%s\n", arguments[0]);
    }
    return price_of(
        count);
}
