/* SPDX-License-Identifier: Apache-2.0 */
/* What uvloop's transports send later, and whose it is. */
#pragma once

#include <stdbool.h>

struct py_object;

/* The running code writes this (a list of it) to the transport. */
void writes_put(struct py_object *transport, struct py_object *data, bool is_list);
/* From now on the loop's own writes are told with whose they are. False: its object is not as we
 * know it. */
bool writes_bind(const char *path);
