/* SPDX-License-Identifier: Apache-2.0 */
/* Texts of a configuration file, on their way to a variable. What is answered is to be freed. */
#pragma once

/* With what ${NAME}, ${env:NAME} and ${NAME:-default} stand for in the environment, and $ for $$
 * (OpenTelemetry configuration, "Environment variable substitution"). NULL: a reference that is
 * none of these. */
char *substitute(const char *from);

/* Percent-encoded (RFC 3986, 2.1), as an item of a list. */
char *escape(const char *value);
