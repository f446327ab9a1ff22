/* SPDX-License-Identifier: Apache-2.0 */
/* Is anybody listening at a traces endpoint? */
#pragma once

/* Connects to http://host[:port]/..., the same of https, or unix:///path and hangs up. NULL: reachable, else why not,
 * a static text or one of strerror and gai_strerror. */
const char *endpoint_unreachable(const char *url);
