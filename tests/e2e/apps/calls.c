/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls an HTTP server from functions of known names: calls PORT MODE PATH... where @PORT in the
 * place of a path is that of the calls that follow.
 * blocking: the thread waits for each answer; polled: it waits by poll for that connection alone;
 * loop: it waits by epoll, for others too.
 */
#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

static const char *mode;

/* The answer comes back through a function of its own: the call is not made here. */
__attribute__((noinline)) static void read_answer(int fd)
{
    char answer[4096];
    if (strcmp(mode, "polled") == 0) {
        struct pollfd one = {.fd = fd, .events = POLLIN};
        poll(&one, 1, -1);
    } else if (strcmp(mode, "loop") == 0) {
        int loop = epoll_create1(0), other = eventfd(0, 0);
        struct epoll_event event = {.events = EPOLLIN};
        epoll_ctl(loop, EPOLL_CTL_ADD, other, &event);
        epoll_ctl(loop, EPOLL_CTL_ADD, fd, &event);
        epoll_wait(loop, &event, 1, -1);
        close(loop);
        close(other);
    }
    while (read(fd, answer, sizeof(answer)) > 0)
        ;
}

__attribute__((noinline)) static void look_up_price(int port, const char *path)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
        .sin_port = htons((uint16_t)port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    char request[256];
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0) {
        close(fd);
        return;
    }
    int length = snprintf(request, sizeof(request),
        "GET %s HTTP/1.1\r\nHost: prices\r\nConnection: close\r\n\r\n", path);
    if (write(fd, request, (size_t)length) == length)
        read_answer(fd);
    close(fd);
    __asm__ volatile("");
}

__attribute__((noinline)) static void fill_cart(int port, const char *path)
{
    look_up_price(port, path);
    __asm__ volatile("");
}

int main(int count, char **arguments)
{
    int port = atoi(arguments[1]);
    mode = arguments[2];
    for (int i = 3; i < count; i++)
        if (arguments[i][0] == '@')
            port = atoi(arguments[i] + 1);
        else
            fill_cart(port, arguments[i]);
    return 0;
}
