/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections by protocol: what has a protocol now, and what ever had. [row of protocol_rows][1:
 * this process is the client]. A session inside TLS counts, the socket beneath it does not. The
 * exporter's thread goes over the table; a host thread notes each connection once, when it is known
 * what it speaks.
 */
#pragma once

#include <stdint.h>

enum { CONNECTION_PROTOCOLS_MAX = 32, CONNECTION_SIDES = 2 };

struct connection_counts {
    uint32_t open[CONNECTION_PROTOCOLS_MAX][CONNECTION_SIDES];
    uint32_t begun[CONNECTION_PROTOCOLS_MAX][CONNECTION_SIDES];
};

struct connection;

/* Under its lock: it has got a protocol. */
void connection_count_in(struct connection *connection);
/* Any thread. */
void connection_count(struct connection_counts *out);
void connection_counts_forked(void);

/* Requests that are being served, by method (active_methods) and whether inside TLS: those whose
 * head is complete and whose answer is not. As far as can be seen without stopping anybody. */
enum { ACTIVE_METHODS = 11 };
extern const char active_methods[ACTIVE_METHODS][8];
struct active_requests {
    uint32_t of[ACTIVE_METHODS][2];
};
void connection_count_requests(struct active_requests *out);

/* What the metrics call a row; NULL: there is none. */
const char *connection_protocol_name(uint32_t row);
