/* SPDX-License-Identifier: Apache-2.0 */
/* What a call costs whose descriptor is none of our business: JSON of nanoseconds per call, the
 * least of many runs. */
#include <fcntl.h>
#include <time.h>

#include "../tests/hosts/host.h"

enum { CALLS = 20000, RUNS = 60 };

static double now_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

static double least(int fd, int writes)
{
    char byte = 0;
    double best = 1e18;
    for (int run = 0; run < RUNS; run++) {
        double start = now_ns();
        for (int i = 0; i < CALLS; i++)
            if ((writes ? write(fd, &byte, 1) : read(fd, &byte, 0)) < 0)
                return -1;
        double each = (now_ns() - start) / CALLS;
        best = each < best ? each : best;
    }
    return best;
}

/* Bytes of no protocol that we know: left alone from the second call on. */
static int foreign_socket(void)
{
    static const char greeting[] = "220 mail.example ESMTP, which is no HTTP at all\r\n";
    struct host_pair pair = host_connect(false, true);
    char bytes[sizeof(greeting)];
    raw_write(pair.client, greeting, sizeof(greeting) - 1);
    EXPECT(read(pair.server, bytes, sizeof(bytes)) > 0);
    return pair.server;
}

/* A client in the middle of a body, which its peer reads past libc. */
static double least_of_body(void)
{
    static const char head[] = "PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000000000\r\n\r\n";
    static char bytes[16 * 1024];
    struct host_pair pair = host_connect(false, false);
    double best = 1e18;
    EXPECT(write(pair.client, head, sizeof(head) - 1) > 0);
    EXPECT(raw_read(pair.server, bytes, sizeof(bytes)) > 0);
    for (int run = 0; run < RUNS; run++) {
        double start = now_ns();
        for (int i = 0; i < CALLS / 10; i++) {
            EXPECT(write(pair.client, bytes, sizeof(bytes)) == sizeof(bytes));
            host_raw_read_all(pair.server, bytes, sizeof(bytes));
        }
        double each = (now_ns() - start) / (CALLS / 10);
        best = each < best ? each : best;
    }
    return best;
}

int main(void)
{
    int null = open("/dev/null", O_RDWR);
    printf("{\"write to /dev/null\": %.2f, \"read of /dev/null\": %.2f, ", least(null, 1),
        least(null, 0));
    printf("\"read of another protocol\": %.2f, \"16 KB of a body, there and back\": %.2f}\n",
        least(foreign_socket(), 0), least_of_body());
    return 0;
}
