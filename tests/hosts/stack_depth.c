/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How deep each hooked call goes below its caller on a connection that carries HTTP: the stack is
 * painted, the call made, the paint looked for. Prints bytes per call; run_hosts.py subtracts.
 */
#include <fcntl.h>
#include <poll.h>
#include <sys/uio.h>
#include <ucontext.h>

#include "host.h"

enum { PAINTED = 24 * 1024, PAINT = 0xA5 };

static struct host_pair pair;
static const char request[] = "GET /depth?of=stack HTTP/1.1\r\nHost: service.example\r\n"
                              "User-Agent: depth\r\n\r\n";
static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
static char buffer[4096];
static int spare;

static unsigned char stack[PAINTED];
static void (*current)(void);
static ucontext_t outside, inside;

static void run(void)
{
    current();
}

/* Runs the call on a painted stack; answers how much of it was used. */
static size_t depth(void (*call)(void))
{
    size_t untouched = 0;
    memset(stack, PAINT, sizeof(stack));
    current = call;
    EXPECT(getcontext(&inside) == 0);
    inside.uc_stack.ss_sp = stack;
    inside.uc_stack.ss_size = sizeof(stack);
    inside.uc_link = &outside;
    makecontext(&inside, run, 0);
    EXPECT(swapcontext(&outside, &inside) == 0);
    while (untouched < sizeof(stack) && stack[untouched] == PAINT)
        untouched++;
    return sizeof(stack) - untouched;
}

static void do_write(void)
{
    EXPECT(write(pair.client, request, sizeof(request) - 1) > 0);
}

static void do_send(void)
{
    EXPECT(send(pair.client, request, sizeof(request) - 1, 0) > 0);
}

static void do_writev(void)
{
    struct iovec iov = {(void *)request, sizeof(request) - 1};
    EXPECT(writev(pair.client, &iov, 1) > 0);
}

static void do_sendmsg(void)
{
    struct iovec iov = {(void *)request, sizeof(request) - 1};
    struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};
    EXPECT(sendmsg(pair.client, &message, 0) > 0);
}

static void do_read(void)
{
    EXPECT(read(pair.client, buffer, sizeof(buffer)) > 0);
}

static void do_recv(void)
{
    EXPECT(recv(pair.client, buffer, sizeof(buffer), 0) > 0);
}

static void do_read_request(void)
{
    EXPECT(read(pair.server, buffer, sizeof(buffer)) > 0);
}

static void do_write_answer(void)
{
    EXPECT(write(pair.server, answer, sizeof(answer) - 1) > 0);
}

static void do_dup(void)
{
    spare = dup(pair.client);
}

static void do_close(void)
{
    EXPECT(close(spare) == 0);
}

static void do_close_last(void)
{
    EXPECT(close(pair.client) == 0);
}

static void do_poll(void)
{
    struct pollfd poll_fd = {pair.client, POLLOUT, 0};
    EXPECT(poll(&poll_fd, 1, 0) == 1);
}

static void do_connect(void)
{
    pair = host_connect(false, true);
}

static void measure(const char *name, void (*call)(void))
{
    printf("%zu %s\n", depth(call), name);
}

int main(void)
{
    measure("connect+accept", do_connect);
    measure("write request, first", do_write);
    measure("read request, first", do_read_request);
    measure("write answer, first", do_write_answer);
    measure("read answer, first", do_read);
    measure("write request", do_write);
    measure("read request", do_read_request);
    measure("write answer", do_write_answer);
    measure("read answer", do_read);
    measure("send request", do_send);
    measure("read request again", do_read_request);
    measure("write answer again", do_write_answer);
    measure("recv answer", do_recv);
    measure("writev request", do_writev);
    do_read_request();
    do_write_answer();
    do_recv();
    measure("sendmsg request", do_sendmsg);
    measure("poll", do_poll);
    measure("dup", do_dup);
    measure("close", do_close);
    measure("close, span open", do_close_last);
    return 0;
}
