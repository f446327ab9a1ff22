/* SPDX-License-Identifier: Apache-2.0 */
#include "carriers.h"

#include <stddef.h>

#include "config.h"

static const struct carrier *const carriers[] = {
    &carrier_node,
};

void carriers_start(char *const *argv)
{
    for (size_t i = 0; i < sizeof(carriers) / sizeof(carriers[0]); i++)
        if (config.carriers & carriers[i]->bit)
            carriers[i]->start(argv);
}
