/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of secure.h share. */
#pragma once

#include "secure.h"
#include "stream_internal.h"

/* As stream_enter, for what is inside TLS. False: nothing is to be observed, or not any more. */
bool secure_enter(struct visit *visit, struct session *session);

/* Is it an errno that says what became of the connection? */
bool secure_is_of_network(int error);

/* The connection's exchanges say what was agreed on. After bytes were fed. */
void secure_tell(const struct session *session, struct connection *connection);

/* Feeds bytes that the library gave or took. */
void secure_feed(struct visit *visit, struct session *session, enum direction direction,
    const uint8_t *data, size_t length);
