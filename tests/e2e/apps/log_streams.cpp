/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A daemon in C++ that logs by streams, and by stdio beside them, and knows nothing of tracing:
 * log_streams PORT. Each connection has a thread of its own. Lines in pieces are put while
 * the stream is locked; whole ones as they come.
 */
#include <arpa/inet.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <string>
#include <thread>

static void log(const std::string &what)
{
    fprintf(stderr, "whole %s\n", what.c_str());
    printf("{\"whole\":\"%s\"}\n", what.c_str());
    flockfile(stderr);
    fputs("locked ", stderr);
    fputs_unlocked(what.c_str(), stderr);
    putc_unlocked('\n', stderr);
    funlockfile(stderr);
    flockfile(stdout);
    std::cout << "{\"cout\":\"" << what << "\",\"number\":" << 1 << "}\n" << std::flush;
    std::cout << "{\"ended\":\"" << what << "\"}" << std::endl;
    std::cout << "cout " << what << std::endl;
    funlockfile(stdout);
    flockfile(stderr);
    std::cerr << "cerr " << what << ' ' << 2.5 << std::endl;
    std::clog << "clog " << what << "\n";
    funlockfile(stderr);
}

static void serve(int connection)
{
    static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    char request[4096];
    ssize_t length;
    while ((length = read(connection, request, sizeof(request) - 1)) > 0) {
        request[length] = '\0';
        char *what = strchr(request, '/');
        what[strcspn(what, " ")] = '\0';
        log(what);
        if (write(connection, answer, sizeof(answer) - 1) < 0)
            break;
    }
    close(connection);
}

int main(int count, char **arguments)
{
    struct sockaddr_in address = {};
    if (count != 2)
        return 1;
    address.sin_family = AF_INET;
    address.sin_port = htons((unsigned short)atoi(arguments[1]));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int one = 1, listener = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(listener, (struct sockaddr *)&address, sizeof(address)) != 0 ||
        listen(listener, 128) != 0)
        return 1;
    for (;;)
        std::thread(serve, accept(listener, nullptr, nullptr)).detach();
}
