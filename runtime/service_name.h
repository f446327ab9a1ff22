/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What to call a service that nobody named: the script if the executable is a known interpreter,
 * else the executable. Pure, no allocation; before threads exist.
 */
#pragma once

#include <stddef.h>

/* Writes at most room bytes, terminated; "unknown_service" if there is nothing to go by.
 * executable and argv may be NULL. */
void service_name_guess(const char *executable, char *const *argv, char *out, size_t room);
