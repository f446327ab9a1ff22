/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A daemon in C with logs that knows nothing of tracing: log_daemon PORT. Of each request's first
 * line it prints one by printf, which reaches the kernel inside the C library, one by write, and
 * some by syslog, which shows them on standard error too.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <errno.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

/* What syslog is where a program is built with _FORTIFY_SOURCE. */
extern void __syslog_chk(int priority, int flag, const char *format, ...);

static void serve(int connection)
{
    static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    char request[4096], line[4200];
    ssize_t length;
    while ((length = read(connection, request, sizeof(request) - 1)) > 0) {
        request[length] = '\0';
        request[strcspn(request, "\r\n")] = '\0';
        printf("printed %s\n", request);
        int bytes = snprintf(line, sizeof(line), "written %s\n", request);
        if (write(1, line, (size_t)bytes) != bytes)
            exit(2);
        errno = EPERM;
        syslog(LOG_INFO, "%s: %m", request);
        errno = EPERM;
        __syslog_chk(LOG_INFO, 1, "%s: %m", request);
        syslog(LOG_INFO, "{\"ended\":\"%s\"}\n", request);
        syslog(LOG_INFO, "several %s\nlines", request);
        syslog(LOG_INFO, "long %s %0900d", request, 1);
        syslog(LOG_INFO, "position %2$s %1$d", 1, request);
        if (write(connection, answer, sizeof(answer) - 1) < 0)
            return;
    }
}

int main(int count, char **arguments)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    if (count != 2)
        return 1;
    address.sin_port = htons((unsigned short)atoi(arguments[1]));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    openlog("daemon", LOG_PERROR, LOG_DAEMON);
    setvbuf(stdout, NULL, _IOLBF, 0);
    int one = 1, listener = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(listener, (struct sockaddr *)&address, sizeof(address)) != 0 ||
        listen(listener, 128) != 0)
        return 1;
    for (;;) {
        int connection = accept(listener, NULL, NULL);
        serve(connection);
        close(connection);
    }
}
