/* SPDX-License-Identifier: Apache-2.0 */
/* Loaded by loads.c. As libnested.so it lies where only the RUNPATH of libcaller.so leads, which is
 * this file, too. Preloaded, it is also a clock like libfaketime's. */
#include <dlfcn.h>
#include <time.h>

#include "host.h"

void *plugin_load(const char *file, int flags);
int plugin_exchange(void);

void *plugin_load(const char *file, int flags)
{
    void *handle = dlopen(file, flags);
    __asm__ volatile("" : : "r"(handle) : "memory"); /* not a tail call: we are the caller */
    return handle;
}

int plugin_exchange(void)
{
    static const char request[] = "GET /plugin HTTP/1.1\r\nHost: h\r\n\r\n";
    static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    char buffer[1024];
    struct host_pair pair = host_connect(false, false);
    EXPECT(send(pair.client, request, sizeof(request) - 1, 0) == sizeof(request) - 1);
    EXPECT(raw_read(pair.server, buffer, sizeof(buffer)) > 0);
    host_raw_write_all(pair.server, answer, sizeof(answer) - 1);
    EXPECT(recv(pair.client, buffer, sizeof(buffer), 0) == sizeof(answer) - 1);
    EXPECT(close(pair.client) == 0);
    sys_call(SYS_close, pair.server, 0, 0, 0, 0, 0);
    return 1;
}

int clock_gettime(clockid_t clock, struct timespec *time)
{
    const char *ahead_s = getenv("PLUGIN_AHEAD");
    int result = (int)sys_result(sys(SYS_clock_gettime, clock, time));
    if (result == 0 && ahead_s != NULL)
        time->tv_sec += atol(ahead_s);
    return result;
}
