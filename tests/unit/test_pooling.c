/* SPDX-License-Identifier: Apache-2.0 */
/* Whom a client's connections are for: what is doubtful where others are being made. */
#include <string.h>

#include "context.h"
#include "pooling.h"
#include "tap.h"

static struct thread self;
static struct context a, b;

static struct connection connection_to(uint16_t port)
{
    struct connection connection;
    memset(&connection, 0, sizeof(connection));
    connection.peer.port = port;
    return connection;
}

static bool doubts(struct connection *connection, struct context *current)
{
    self.current = current;
    connection->opener.is_doubtful = false;
    pooling_doubt(&self, connection);
    return connection->opener.is_doubtful;
}

int main(void)
{
    struct connection made = connection_to(80), kept = connection_to(80),
                      nobodys = connection_to(80);
    self.multiplexes = true;
    kept.used = true;
    kept.previous = &a;
    made.opener.context = &b;
    pooling_connects(&made, true);
    CHECK(!doubts(&made, &b), "a connection is its opener's");
    CHECK(!doubts(&kept, &b), "one that was free is of who is at work");
    struct connection elsewhere = connection_to(81);
    elsewhere.used = true;
    elsewhere.previous = &a;
    CHECK(!doubts(&elsewhere, &a), "what is made to another port is no matter");
    CHECK(doubts(&kept, &a), "one that becomes free may be given to who waits for another");
    CHECK(doubts(&made, &b), "which is then for anybody");
    pooling_connected(&made);
    CHECK(!doubts(&kept, &a), "nobody waits any more");

    pooling_connects(&nobodys, true);
    CHECK(!doubts(&nobodys, &a), "one that this unit of work makes is of who is at work");
    self.unit++;
    CHECK(doubts(&nobodys, &a), "one that nobody had made before is not");
    self.multiplexes = false;
    self.current_read_here = true;
    CHECK(!doubts(&nobodys, &a), "but for who serves one request");
    pooling_connected(&nobodys);
    CHECK(!nobodys.connecting, "it is made");

    self.current_read_here = false;
    self.multiplexes = true;
    pooling_connects(&made, true);
    pooling_forked();
    CHECK(!doubts(&kept, &a), "in a forked child nothing is being made");
    pooling_connected(&made);
    pooling_connects(&nobodys, true);
    CHECK(doubts(&kept, &a), "but what it makes itself");
    return tap_done();
}
