/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Declarative configuration (OpenTelemetry configuration 1.0 and 1.1, "file_format"): the file that
 * OTEL_CONFIG_FILE names. The library reads variables only; so the command turns the file into
 * these, for itself and for what it starts. As the specification wants, no other OTEL_* variable
 * counts then but those that the file refers to; BURDOCK_* do.
 *
 * Single-threaded; changes the environment.
 */
#pragma once

#include <stdbool.h>

/* Once; later calls do nothing. False: the file cannot be used, and stderr says why, with the line;
 * the environment is as it was. tells: stderr also says which parts of it have no effect. True, if
 * there is no such file to be read. */
bool config_file_apply(bool tells);

/* Within: the rest of it. */
struct assignments;

/* Does a variable of this name, which may have its value behind it, count no more? */
bool config_file_overrides(const char *name);

/* False: a value cannot be used, as stderr says. */
bool config_file_check(const char *file, const struct assignments *assignments);
