/* SPDX-License-Identifier: Apache-2.0 */
/* C++ exceptions, thrown by the thousand and through frames that have just made hooked calls. The
 * time goes to stderr. */
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <pthread.h>
#include <stdexcept>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <netinet/in.h>

static const char request[] = "GET /throw HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n";
static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
static int listener, client, server;
static int destroyed;

static void expect(bool holds)
{
    if (!holds)
        abort();
}

struct guard {
    ~guard()
    {
        destroyed++;
    }
};

static void connect_both()
{
    sockaddr_in address = {};
    socklen_t length = sizeof(address);
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    listener = socket(AF_INET, SOCK_STREAM, 0);
    expect(bind(listener, (sockaddr *)&address, length) == 0 && listen(listener, 5) == 0);
    expect(getsockname(listener, (sockaddr *)&address, &length) == 0);
    client = socket(AF_INET, SOCK_STREAM, 0);
    expect(connect(client, (sockaddr *)&address, length) == 0);
    server = accept(listener, nullptr, nullptr);
    expect(server >= 0);
}

static void read_some(int fd)
{
    char buffer[1024];
    expect(read(fd, buffer, sizeof(buffer)) > 0);
}

__attribute__((noinline)) static void exchange_and_throw(int levels)
{
    guard here;
    if (levels > 0)
        return exchange_and_throw(levels - 1);
    expect(write(client, request, sizeof(request) - 1) > 0);
    read_some(server);
    expect(write(server, answer, sizeof(answer) - 1) > 0);
    read_some(client);
    throw std::runtime_error("after the exchange");
}

static void *leave_by_unwinding(void *how)
{
    guard here;
    char byte;
    if (how == nullptr)
        pthread_exit((void *)7);
    for (;;)
        (void)!read(client, &byte, 1);
}

/* Threads that a request started, whose stacks are unwound through whoever started them. */
static void unwind_threads()
{
    void *result;
    pthread_t thread;
    expect(write(client, request, sizeof(request) - 1) > 0);
    read_some(server);
    pthread_create(&thread, nullptr, leave_by_unwinding, nullptr);
    expect(pthread_join(thread, &result) == 0 && result == (void *)7);
    pthread_create(&thread, nullptr, leave_by_unwinding, (void *)1);
    usleep(10000);
    pthread_cancel(thread);
    expect(pthread_join(thread, &result) == 0 && result == PTHREAD_CANCELED);
    expect(write(server, answer, sizeof(answer) - 1) > 0);
    read_some(client);
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "--list") == 0) {
        puts("throws 202 SERVER/200=101 CLIENT/200=101");
        return 0;
    }
    connect_both();
    int caught = 0;
    for (int i = 0; i < 100; i++)
        try {
            exchange_and_throw(10);
        } catch (const std::exception &) {
            caught++;
        }
    unwind_threads();
    timespec begin, end;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    for (int i = 0; i < 100000; i++)
        try {
            guard here;
            throw i;
        } catch (int number) {
            caught += number == i;
        }
    clock_gettime(CLOCK_MONOTONIC, &end);
    fprintf(stderr, "%.0f ns per throw\n",
        ((end.tv_sec - begin.tv_sec) * 1e9 + (end.tv_nsec - begin.tv_nsec)) / 1e5);
    printf("%d caught, %d destroyed\n", caught, destroyed);
    expect(close(client) == 0 && close(server) == 0);
    return 0;
}
