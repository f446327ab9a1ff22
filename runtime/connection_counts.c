/* SPDX-License-Identifier: Apache-2.0 */
#include "connection_counts.h"

#include <string.h>

#include "connection.h"

static uint32_t begun[CONNECTION_PROTOCOLS_MAX][CONNECTION_SIDES];

void connection_count_in(struct connection *connection)
{
    unsigned row = connection->row, side = connection->requests_out;
    if (row >= CONNECTION_PROTOCOLS_MAX)
        return;
    __atomic_fetch_add(&begun[row][side], 1, __ATOMIC_RELAXED);
    __atomic_store_n(&connection->counted, CONNECTION_SIDES * row + side + 1, __ATOMIC_RELAXED);
}

/* Those that a parent knew and this process has not used are not its own. */
void connection_count(struct connection_counts *out)
{
    struct sight sight;
    memset(out->open, 0, sizeof(out->open));
    memcpy(out->begun, begun, sizeof(out->begun));
    for (uint32_t index = 0; (index = connection_next(index, &sight)) != 0;) {
        uint32_t counted = __atomic_load_n(&sight.connection->counted, __ATOMIC_RELAXED);
        if (counted != 0)
            out->open[(counted - 1) / CONNECTION_SIDES][(counted - 1) % CONNECTION_SIDES]++;
    }
}

const char active_methods[ACTIVE_METHODS][8] = {"GET", "POST", "PUT", "HEAD", "DELETE", "OPTIONS",
    "PATCH", "CONNECT", "TRACE", "QUERY", "_OTHER"};

static unsigned method_of(const struct exchange *exchange)
{
    uint16_t offset = exchange->texts[FIELD_METHOD].offset,
             length = exchange->texts[FIELD_METHOD].length;
    unsigned at = 0;
    while (
        at < ACTIVE_METHODS - 1 &&
        (strlen(active_methods[at]) != length || offset + length > sizeof(exchange->inline_text) ||
            memcmp(active_methods[at], exchange->inline_text + offset, length) != 0))
        at++;
    return at;
}

/* What is read may be taken anew meanwhile: blocks stay where they are, and steps are counted. */
__attribute__((noinline)) static void count_requests(
    const struct connection *connection, struct active_requests *out)
{
    const struct exchange *exchange = connection->first;
    for (unsigned i = 0; exchange != NULL && i < EXCHANGES_OPEN_MAX; i++) {
        if (exchange->is_server && exchange->requested && exchange->epoch == process.epoch &&
            exchange->texts[FIELD_METHOD].length > 0)
            out->of[method_of(exchange)][(exchange->present >> FIELD_TLS) & 1]++;
        exchange = exchange->next;
    }
}

void connection_count_requests(struct active_requests *out)
{
    struct sight sight;
    memset(out, 0, sizeof(*out));
    for (uint32_t index = 0; (index = connection_next(index, &sight)) != 0;) {
        uint32_t counted = __atomic_load_n(&sight.connection->counted, __ATOMIC_RELAXED);
        if (counted % CONNECTION_SIDES == 1) /* accepted */
            count_requests(sight.connection, out);
    }
}

void connection_counts_forked(void)
{
    memset(begun, 0, sizeof(begun));
}

const char *connection_protocol_name(uint32_t row)
{
    uint32_t at = 0;
    while (at < row && protocol_rows[at] != NULL)
        at++;
    if (protocol_rows[at] == NULL)
        return NULL;
    const char *name = protocol_rows[at]->name;
    return strcmp(name, "http1") == 0 ? "http" : name; /* its version is another attribute */
}
