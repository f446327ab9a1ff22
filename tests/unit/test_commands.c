/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Commands in clients' buffers, against a list that says whose each byte is: however a client's
 * loop cuts what it writes, each request hears of its own bytes; each is called back in its turn,
 * and then the thread is where it was; nothing is held when all is over, by an end of whichever
 * kind.
 */
#include <stdlib.h>
#include <string.h>

#include "carrier.h"
#include "commands.h"
#include "requests.h"
#include "tap.h"

enum { ROUNDS = 20000, BYTES_MAX = 1 << 16, WAITING_MAX = 200 };

static char clients[COMMANDS_CLIENTS_MAX * 2];

static void put(const void *client, struct context *context, size_t bytes)
{
    be_in(context);
    commands_put(client, bytes);
    be_in(outside);
}

/* As streams do: each part is told in its context. Answers how many bytes were not told so. */
static size_t tell(size_t bytes, struct context *const *expected)
{
    size_t wrong = 0;
    for (size_t at = 0; at < bytes; at++) {
        size_t part = carrier_part(&self);
        wrong += part == 0 || self.current != expected[at];
        self.part_at++;
    }
    return wrong;
}

static size_t write_some(const void *client, size_t bytes, bool is_all, struct context *const *to)
{
    struct commands_client *known = commands_write(client);
    size_t wrong = known == NULL ? 1 : tell(bytes, to);
    if (known != NULL)
        commands_written(known, is_all);
    return wrong + (self.current != outside) + (self.parts != NULL);
}

static void test_in_turn(void)
{
    static struct context *bytes_of[BYTES_MAX], *waiting[WAITING_MAX];
    size_t have = 0, unsent = 0, wrong_bytes = 0, wrong_calls = 0, wrong_after = 0;
    size_t count = 0;
    const char *client = &clients[7];
    srand(1);
    for (int round = 0; round < ROUNDS; round++) {
        struct context *whose = rand() % 8 == 0 ? NULL : requests[rand() % REQUESTS];
        size_t length = 1 + (size_t)rand() % 40;
        if (count < WAITING_MAX && have + length < BYTES_MAX && rand() % 2 == 0) {
            put(client, whose, length);
            for (size_t i = 0; i < length; i++)
                bytes_of[have++] = whose;
            waiting[count++] = whose;
            unsent += length;
        } else if (unsent > 0 && rand() % 2 == 0) {
            size_t part = rand() % 3 == 0 ? unsent : (size_t)rand() % (unsent + 1);
            wrong_bytes += write_some(client, part, part == unsent, bytes_of + have - unsent);
            unsent -= part;
            memmove(bytes_of, bytes_of + have - unsent, unsent * sizeof(bytes_of[0]));
            have = unsent;
        } else if (count > 0 && unsent == 0) {
            struct commands_client *known = commands_next(client);
            wrong_calls += known == NULL;
            if (known == NULL)
                continue;
            commands_answer(known);
            wrong_calls += self.current != waiting[0];
            commands_next(client);
            wrong_after += self.current != outside || !self.current_read_here;
            memmove(waiting, waiting + 1, --count * sizeof(waiting[0]));
        }
    }
    CHECK(wrong_bytes == 0, "each byte is told in its request (%zu)", wrong_bytes);
    CHECK(wrong_calls == 0, "each is called back in its turn (%zu)", wrong_calls);
    CHECK(wrong_after == 0, "then the thread is where it was (%zu)", wrong_after);
    commands_forget(client);
    CHECK(held() == 0, "forgotten, it holds nothing (%u)", held());
    CHECK(commands_next(client) == NULL, "nor is it known");
}

static void test_many_in_one_write(void)
{
    struct context *expected[COMMANDS_PARTS_MAX + 2];
    for (int i = 0; i < COMMANDS_PARTS_MAX + 2; i++) {
        put(clients, requests[0], 1);
        expected[i] = i < COMMANDS_PARTS_MAX ? requests[0] : NULL;
    }
    CHECK(write_some(clients, COMMANDS_PARTS_MAX + 2, true, expected) == 0,
        "more than there is room for are nobody's");
    commands_forget(clients);
    CHECK(held() == 0, "and hold nothing when they are over");
}

static void test_given_up(void)
{
    struct context *const nobody[] = {NULL, NULL};
    put(clients, requests[0], 1);
    commands_give_up(clients);
    CHECK(held() == 0, "given up, it holds nothing");
    put(clients, requests[1], 1);
    CHECK(
        held() == 0 && write_some(clients, 2, true, nobody) == 0, "all that it sends is nobody's");
    be_in(outside);
    commands_answer(commands_next(clients));
    CHECK(self.current == outside, "whoever is called back is what was read");
    commands_forget(clients);
    put(clients, requests[1], 1);
    CHECK(held() > 0, "another one with its address is known again");
    commands_strange(clients);
    commands_strange(&clients[1]);
    CHECK(
        held() == 0 && commands_next(&clients[1]) == NULL, "so it is by what is strange, if known");
    commands_forget(clients);
}

/* The connection breaks while one is called back: the others are, without an answer. */
static void test_abandoned(void)
{
    struct context *const both[] = {requests[0], requests[1]};
    put(clients, requests[0], 1);
    put(clients, requests[1], 1);
    write_some(clients, 2, true, both);
    commands_answer(commands_next(clients));
    CHECK(self.current == requests[0], "called back");
    commands_abandon(clients);
    CHECK(self.current == NULL && held() == 0, "abandoned: in none, and nothing is held");
    be_in(requests[2]);
    commands_forget(clients);
    CHECK(self.current == requests[2], "its end changes nothing");
    be_in(NULL);
}

static void test_too_many(void)
{
    uint32_t known = 0;
    for (size_t i = 0; i < sizeof(clients); i++)
        put(&clients[i], requests[0], 1);
    for (size_t i = 0; i < sizeof(clients); i++)
        known += commands_next(&clients[i]) != NULL;
    CHECK(known > COMMANDS_CLIENTS_MAX / 2 && known <= COMMANDS_CLIENTS_MAX,
        "too many clients: some are known (%u)", known);
    CHECK(held() >= known && held() <= 2 * known, "and only those hold (%u)", held());
    for (size_t i = 0; i < sizeof(clients); i++)
        commands_forget(&clients[i]);
    be_in(NULL);
    CHECK(held() == 0, "none does in the end");
}

int main(void)
{
    requests_start();
    thread_self = &self;
    CHECK(commands_next(clients) == NULL && commands_write(clients) == NULL,
        "none is known at first");
    commands_strange(clients);
    commands_abandon(clients);
    commands_forget(clients);
    put(clients, NULL, 1);
    commands_abandon(NULL);
    CHECK(commands_next(NULL) == NULL, "nor is no client, which programs free, too");
    commands_forget(clients);
    test_in_turn();
    test_many_in_one_write();
    test_given_up();
    test_abandoned();
    test_too_many();
    return tap_done();
}
