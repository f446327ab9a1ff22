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
    CHECK(!(nobodys.making & MAKING_CONNECTS), "it is made");

    self.current_read_here = false;
    self.multiplexes = true;
    pooling_connects(&made, true);
    pooling_forked();
    CHECK(!doubts(&kept, &a), "in a forked child nothing is being made");
    pooling_connected(&made);
    pooling_connects(&nobodys, true);
    CHECK(doubts(&kept, &a), "but what it makes itself");

    struct connection first = connection_to(82), second = connection_to(82),
                      third = connection_to(82);
    pooling_connects(&first, false);
    pooling_connects(&second, false);
    CHECK(!doubts(&second, &b), "that another's first request is under way is no matter");
    first.used = second.used = true;
    pooling_answered(&second, true);
    CHECK(
        doubts(&second, &b), "but where it may be a login, what is ready first may be given away");
    second.previous = &b;
    CHECK(doubts(&second, &b), "and again, as long as another one is not ready");
    pooling_answered(&first, true);
    CHECK(!doubts(&second, &b), "nobody waits any more for one");
    CHECK(doubts(&first, &a), "the other one is for anybody then");
    CHECK(!doubts(&first, &a), "at first");
    pooling_connects(&third, true);
    pooling_over(&third);
    CHECK(third.making == 0 && !doubts(&second, &b), "one that could not be made is not awaited");
    pooling_connects(&third, false);
    pooling_answered(&third, true);
    CHECK(!doubts(&third, &a), "one that is made alone is its opener's");
    return tap_done();
}
