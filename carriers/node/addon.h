/* SPDX-License-Identifier: Apache-2.0 */
/* The library as an addon of Node: what burdock-node.cjs calls. */
#pragma once

#include <stdbool.h>

/* Constructor: finds Node-API among what is loaded. False: not all of it is there. */
bool addon_find(void);

/* Offers itself to the process.dlopen that this thread is in. */
void addon_offer(void);
