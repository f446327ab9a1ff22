/* SPDX-License-Identifier: Apache-2.0 */
/* The library as an addon of Node: what burdock-node.cjs calls. */
#pragma once

#include <stdbool.h>

/* Constructor: finds Node-API among what is loaded. False: not all of it is there. */
bool addon_find(void);

/* node.c, constructor: where the program is Node, lets it ask for the addon when it starts. */
void node_start(char *const *argv);

/* Offers itself to the process.dlopen that this thread is in. */
void addon_offer(void);
