/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whose context is believed (BURDOCK_TRUST): anybody can write a trace id into a request, and with
 * it make us keep what costs, or put itself into traces of others. Of those who are not believed
 * the request begins a trace, which names theirs by a link. In an observe block.
 */
#pragma once

#include "address.h"
#include "exchange.h"
#include "propagators.h"

/* Not to be asked where all are: config.trust. */
bool trust_believes(const struct address *peer);

/* The request's context is not believed: nothing was found, but for the link. */
void trust_refuse(struct exchange *exchange, struct extracted *extracted);
