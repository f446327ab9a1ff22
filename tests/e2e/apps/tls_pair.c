/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Both ends of TLS in one thread, by the calls that others do not make: tls_pair CERTIFICATE KEY.
 * Looks at bytes and reads them later, reads in pieces by SSL_read_ex, tries SSL_sendfile, which
 * needs the kernel's help, and sends a request as early data of a resumed session. Prints what the
 * calls answered, and the heads that the server read without their trace context.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static SSL_CTX *client_context, *server_context;
static SSL *client, *server;
static SSL_SESSION *session;

static void expect(int holds, const char *what)
{
    if (holds)
        return;
    printf("failed: %s\n", what);
    exit(1);
}

/* Two sockets that do not block, and sessions on them. */
static void join(void)
{
    struct sockaddr_in place = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof(place);
    int listener = socket(AF_INET, SOCK_STREAM, 0), near = socket(AF_INET, SOCK_STREAM, 0);
    expect(bind(listener, (struct sockaddr *)&place, length) == 0 && listen(listener, 1) == 0 &&
               getsockname(listener, (struct sockaddr *)&place, &length) == 0 &&
               connect(near, (struct sockaddr *)&place, length) == 0,
        "a connection");
    int far = accept(listener, NULL, NULL);
    close(listener);
    fcntl(near, F_SETFL, O_NONBLOCK);
    fcntl(far, F_SETFL, O_NONBLOCK);
    client = SSL_new(client_context);
    server = SSL_new(server_context);
    SSL_set_fd(client, near);
    SSL_set_fd(server, far);
    SSL_set_connect_state(client);
    SSL_set_accept_state(server);
}

static void shake_hands(void)
{
    for (int i = 0; i < 100 && !(SSL_is_init_finished(client) && SSL_is_init_finished(server));
         i++) {
        SSL_do_handshake(client);
        SSL_do_handshake(server);
    }
    expect(SSL_is_init_finished(client) && SSL_is_init_finished(server), "the handshake");
}

static void print_head(const char *head, size_t length)
{
    const char *end = head + length, *next;
    for (const char *line = head; line < end; line = next) {
        next = memchr(line, '\n', (size_t)(end - line));
        next = next == NULL ? end : next + 1;
        if (strncmp(line, "traceparent: ", 13) == 0)
            fprintf(stderr, "%.*s", (int)(next - line), line);
        else
            printf("%.*s", (int)(next - line), line);
    }
}

/* In pieces, after a look at each. */
static void serve(const char *early, size_t length)
{
    char text[2048], seen[16];
    size_t got = length, some;
    memcpy(text, early, length);
    for (int i = 0; i < 100000 && (got < 4 || memcmp(text + got - 4, "\r\n\r\n", 4) != 0); i++) {
        int looked = SSL_peek(server, seen, sizeof(seen));
        if (SSL_read_ex(server, text + got, sizeof(seen), &some) != 1)
            continue;
        expect(looked == (int)some && memcmp(seen, text + got, some) == 0, "what was looked at");
        got += some;
    }
    print_head(text, got);
}

static void answer(void)
{
    size_t sent;
    const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    expect(SSL_write_ex(server, answer, sizeof(answer) - 1, &sent) == 1, "an answer");
}

static void hear(void)
{
    char text[512];
    size_t got = 0, some;
    for (int i = 0; i < 100000 && (got < 2 || memcmp(text + got - 2, "ok", 2) != 0); i++)
        if (SSL_read_ex(client, text + got, sizeof(text) - got, &some) == 1)
            got += some;
    printf("%.*s\n", (int)got, text);
}

static void part(void)
{
    session = SSL_get1_session(client);
    SSL_shutdown(client);
    SSL_shutdown(server);
    close(SSL_get_fd(client));
    close(SSL_get_fd(server));
    SSL_free(client);
    SSL_free(server);
}

static void usual(void)
{
    const char request[] = "GET /usual HTTP/1.1\r\nHost: pair\r\nX-Long: and so on and on\r\n\r\n";
    size_t sent;
    join();
    shake_hands();
    expect(SSL_write_ex(client, request, sizeof(request) - 1, &sent) == 1 &&
               sent == sizeof(request) - 1,
        "a request");
    serve("", 0);
    answer();
    hear();
    int file = open("/proc/self/cmdline", O_RDONLY);
    printf("sendfile %d\n", (int)SSL_sendfile(server, file, 0, 1, 0));
    close(file);
    part();
}

static void early(void)
{
    const char request[] = "GET /early HTTP/1.1\r\nHost: pair\r\n\r\n";
    char text[512];
    size_t sent = 0, got = 0;
    join();
    SSL_set_session(client, session);
    expect(SSL_write_early_data(client, request, sizeof(request) - 1, &sent) == 1, "early data");
    for (int i = 0; i < 100000 && got == 0; i++)
        SSL_read_early_data(server, text, sizeof(text), &got);
    printf("early: sent %zu, got %zu\n", sent, got);
    serve(text, got);
    for (int i = 0; i < 100000; i++) {
        SSL_do_handshake(client);
        if (SSL_read_early_data(server, text, sizeof(text), &got) == SSL_READ_EARLY_DATA_FINISH)
            break;
    }
    shake_hands();
    answer();
    hear();
    part();
}

int main(int count, char **arguments)
{
    expect(count == 3, "tls_pair CERTIFICATE KEY");
    client_context = SSL_CTX_new(TLS_client_method());
    server_context = SSL_CTX_new(TLS_server_method());
    SSL_CTX_set_max_early_data(server_context, 4096);
    SSL_CTX_set_session_id_context(server_context, (const unsigned char *)"pair", 4);
    expect(SSL_CTX_use_certificate_file(server_context, arguments[1], SSL_FILETYPE_PEM) == 1 &&
               SSL_CTX_use_PrivateKey_file(server_context, arguments[2], SSL_FILETYPE_PEM) == 1,
        "a certificate");
    usual();
    early();
    return 0;
}
