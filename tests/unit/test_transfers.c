/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Transfers that have their turn side by side, on a stack made by hand: what is found there is of
 * its request, or nobody's that is known; who takes one that is finished is in its request until it
 * asks for the next one; nothing is held when all is over.
 */
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "requests.h"
#include "tap.h"
#include "transfers.h"

enum { WORDS = 64 };

static uintptr_t stack[WORDS];
static struct handle {
    const char *url;
    bool is_ready;
} handles[2 * TRANSFERS_MAX];
static char group[2], functions;

static const char *url_of(const void *from, const void *transfer)
{
    return from == &functions ? ((const struct handle *)transfer)->url : NULL;
}

static bool is_ready(const void *from, const void *transfer)
{
    return from == &functions && ((const struct handle *)transfer)->is_ready;
}

static const struct transfers_library library = {url_of, is_ready};

static struct handle *give(int number, struct context *context, const char *url)
{
    handles[number].url = url;
    be_in(context);
    transfers_give(group, &handles[number]);
    be_in(outside);
    return &handles[number];
}

/* In a turn, with these on the stack, and this line about to be sent: whose is it? */
static bool is_of(
    struct context *context, const char *line, const struct handle *one, const struct handle *other)
{
    struct transfers_outer outer;
    stack[7] = (uintptr_t)one;
    stack[20] = (uintptr_t)other;
    stack[40] = (uintptr_t)one;
    if (!transfers_begin(&outer,
            &(struct transfers_turn){(uintptr_t)&stack[WORDS], group, &library, &functions}))
        return false;
    self.guard = (uintptr_t)stack;
    self.transfers.sending = (const uint8_t *)line;
    self.transfers.sending_bytes = line == NULL ? 0 : strlen(line);
    struct decision decision = attribution_parent(&self, &nobody_opened);
    self.transfers.sending = NULL;
    self.guard = 0;
    transfers_end(&outer);
    if (self.current != outside || !self.current_read_here || self.transfers.turn.frame != 0)
        return false; /* it is not back where it was */
    return context == NULL ? decision.rule == RULE_AMBIGUOUS
                           : decision.rule == RULE_CARRIER && decision.parent == context;
}

static void test_found(void)
{
    struct handle *a = give(0, requests[0], "http://h/a?b=1#c"), *b = give(1, requests[1], "h/b");
    struct handle *c = give(2, requests[0], "http://h/a"), *d = give(3, requests[2], "http://h?q");
    CHECK(is_of(requests[0], NULL, a, a), "alone on the stack");
    CHECK(is_of(requests[1], "GET /x HTTP/1.1\r\n", b, b), "whatever is sent");
    CHECK(is_of(requests[0], NULL, a, c), "with another one of its request");
    CHECK(is_of(NULL, NULL, a, b), "of two requests one is, but not known which");
    CHECK(is_of(requests[0], "GET /a?b=1 HTTP/1.1\r\n", a, b), "what is sent tells");
    CHECK(is_of(requests[0], "GET http://h/a?b=1 HTTP/1.1\r\n", b, a), "also to a proxy");
    CHECK(is_of(requests[2], "GET /?q HTTP/1.1\r\n", d, a), "and of an empty path");
    CHECK(is_of(NULL, "GET /a?b=2 HTTP/1.1\r\n", a, b), "it is none of them");
    CHECK(is_of(NULL, "GET /a?b=1", a, b), "not all of the target is there");
    CHECK(is_of(NULL, "GET", a, b) && is_of(NULL, "", a, b), "nor any of it");
    CHECK(is_of(NULL, NULL, &handles[9], NULL), "none on the stack that is known");
    b->url = "http://h/a";
    CHECK(is_of(NULL, "GET /a HTTP/1.1\r\n", b, c), "two send the same");
    b->is_ready = true;
    CHECK(is_of(requests[1], "GET /a HTTP/1.1\r\n", b, c), "and one of them is to send now");
    CHECK(is_of(NULL, NULL, b, c), "if it is about to send at all");
    c->is_ready = true;
    CHECK(is_of(NULL, "GET /a HTTP/1.1\r\n", b, c), "both are");
    b->url = NULL;
    CHECK(is_of(requests[0], "GET /a HTTP/1.1\r\n", b, c), "one has no URL");
    transfers_finished(group, b);
    transfers_next(group);
    CHECK(is_of(requests[0], NULL, a, b), "what is finished sends nothing");
    transfers_take(b);
    transfers_forget(&group[1]);
    CHECK(held() > 0, "another group's end is not theirs");
    transfers_forget(group);
    CHECK(held() == 0 && !is_of(requests[0], NULL, a, a), "forgotten, they hold nothing");
}

static void test_nobodys(void)
{
    const struct handle *own = give(0, NULL, "http://h/a");
    struct transfers_outer outer;
    stack[7] = stack[20] = stack[40] = (uintptr_t)own;
    transfers_begin(
        &outer, &(struct transfers_turn){(uintptr_t)&stack[WORDS], group, &library, &functions});
    self.guard = (uintptr_t)stack;
    struct decision decision = attribution_parent(&self, &nobody_opened);
    self.guard = 0;
    CHECK(decision.rule == RULE_NONE && decision.parent == NULL, "what nobody gave is nobody's");
    transfers_end(&outer);
    transfers_take(own);
}

static void test_jump(void)
{
    struct transfers_outer outer;
    give(0, requests[0], "http://h/a");
    transfers_begin(
        &outer, &(struct transfers_turn){(uintptr_t)stack, group, &library, &functions});
    self.guard = (uintptr_t)&stack[1];
    attribution_parent(&self, &nobody_opened);
    self.guard = 0;
    CHECK(
        self.transfers.turn.frame == 0 && self.current == outside, "a turn left by a jump is over");
    transfers_end(&outer);
    transfers_forget(group);
    CHECK(held() == 0, "and holds nothing");
}

/* Another coroutine's calls, in a turn that began on a stack nearby. */
static void test_stacks(void)
{
    long size = sysconf(_SC_PAGESIZE);
    char *pages =
        mmap(NULL, 3 * (size_t)size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct transfers_outer outer;
    struct handle *own = give(0, requests[0], "");
    mprotect(pages + size, (size_t)size, PROT_NONE);
    *(void **)(pages + size - 16) = own;
    transfers_begin(&outer, &(struct transfers_turn){(uintptr_t)pages + 2 * (uintptr_t)size + 64,
                                group, &library, &functions});
    self.guard = (uintptr_t)pages + (uintptr_t)size - 64;
    CHECK(attribution_parent(&self, &nobody_opened).rule == RULE_AMBIGUOUS,
        "pages between that cannot be read: it is not known");
    attribution_leave(&self);
    self.stack++;
    CHECK(attribution_parent(&self, &nobody_opened).rule == RULE_NONE,
        "another coroutine is not in it");
    self.stack--;
    self.guard = 0;
    transfers_end(&outer);
    transfers_forget(group);
    munmap(pages, 3 * (size_t)size);
}

static void test_finished(void)
{
    const struct handle *a = give(0, requests[0], ""), *b = give(1, requests[1], "");
    transfers_next(group);
    transfers_finished(group, a);
    CHECK(self.current == requests[0], "taken when it is finished: in its request");
    transfers_take(a);
    transfers_finished(&group[1], b);
    CHECK(self.current == requests[0], "a helper's loop meanwhile changes nothing");
    transfers_take(b);
    transfers_next(&group[1]);
    CHECK(self.current == requests[0], "nor its end");
    b = give(1, requests[1], "");
    attribution_carry(&self, requests[0], false);
    transfers_next(group);
    CHECK(self.current == outside && self.current_read_here, "the next one: where it was");
    transfers_finished(group, b);
    CHECK(self.current == requests[1], "which is another's");
    attribution_wait(&self, -1);
    attribution_request(&self, requests[2], false);
    transfers_next(group);
    CHECK(self.current == requests[2], "after a wait it is over, and nothing is moved");
    be_in(outside);
    transfers_finished(group, b);
    CHECK(self.current == outside, "it is finished once");
    transfers_take(b);
    be_in(NULL);
    CHECK(held() == 0, "nothing is held");
}

/* A program need not ask for more before it does something else in the same turn of its loop. */
static void test_open_end(void)
{
    const struct handle *a = give(0, requests[0], "");
    transfers_finished(group, a);
    CHECK(
        attribution_parent(&self, &nobody_opened).rule == RULE_CARRIER, "its next call is its own");
    self.timers.due_ns = 1;
    CHECK(attribution_parent(&self, &nobody_opened).rule == RULE_AMBIGUOUS,
        "or a timer's, if one may be due");
    self.timers.due_ns = 0;
    attribution_answered(&self, requests[0]);
    CHECK(self.current == NULL, "it is over with the answer");
    requests[0]->ended = false;
    transfers_next(group);
    transfers_take(a);
    be_in(NULL);
    CHECK(held() == 0, "and holds nothing");
}

static void test_too_many(void)
{
    enum { MANY = sizeof(handles) / sizeof(handles[0]) };
    uint32_t known = 0;
    for (int i = 0; i < MANY; i++)
        give(i, requests[0], "");
    for (int i = 0; i < MANY; i++)
        known += is_of(requests[0], NULL, &handles[i], NULL);
    CHECK(known > TRANSFERS_MAX / 2 && known <= TRANSFERS_MAX, "too many: some are known (%u)",
        known);
    give(MANY - 1, requests[0], "");
    transfers_forget(group);
    CHECK(held() == 0, "none holds anything in the end");
}

int main(void)
{
    requests_start();
    transfers_give(group, handles);
    transfers_finished(group, handles);
    transfers_next(group);
    transfers_take(handles);
    transfers_forget(group);
    thread_self = &self;
    transfers_give(group, handles);
    CHECK(!transfers_begin(&(struct transfers_outer){0}, &(struct transfers_turn){0}),
        "who serves nobody has nothing followed");
    be_in(requests[0]);
    transfers_give(group, handles);
    CHECK(held() == 1, "nor who serves one at a time"); /* the thread is in it */
    self.multiplexes = true;
    test_found();
    test_nobodys();
    test_jump();
    test_stacks();
    test_finished();
    test_open_end();
    test_too_many();
    return tap_done();
}
