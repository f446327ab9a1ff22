/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests over OpenSSL by every rule of repeated writes, to a server that answers what it
 * received.
 *
 *     tls_client PORT MODE
 *
 * MODE is some of these letters:
 *   p  SSL_MODE_ENABLE_PARTIAL_WRITE        m  a buffer that moves between attempts
 *   x  SSL_write_ex and SSL_read_ex         g  a retry that offers more than the attempt before
 *   s  a BIO of our own that takes little, and nothing every other time; else the socket's, which
 *      does not block and has a small buffer
 *   h  several heads in one call            k  a new key after each request (TLS 1.3)
 *   f  records of 512 bytes
 * Prints the answers' bodies, and what the library's calls answered.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BODY_MAX = 200 * 1000, REQUEST_MAX = BODY_MAX + 4096 };

static const char *mode;
static int fd;
static SSL *ssl;

static bool has(char letter)
{
    return strchr(mode, letter) != NULL;
}

static void expect(bool holds, const char *what)
{
    if (holds)
        return;
    printf("failed: %s, errno %d\n", what, errno);
    exit(1);
}

/* Takes 700 bytes at most, and nothing every other time. */
static int stingy_write(BIO *bio, const char *bytes, int length)
{
    static unsigned calls;
    BIO_clear_retry_flags(bio);
    if (calls++ % 2 == 0) {
        BIO_set_retry_write(bio);
        return -1;
    }
    ssize_t taken = send(fd, bytes, length > 700 ? 700 : (size_t)length, 0);
    if (taken < 0 && errno == EAGAIN)
        BIO_set_retry_write(bio);
    return (int)taken;
}

static int stingy_read(BIO *bio, char *bytes, int length)
{
    BIO_clear_retry_flags(bio);
    ssize_t taken = recv(fd, bytes, (size_t)length, 0);
    if (taken < 0 && errno == EAGAIN)
        BIO_set_retry_read(bio);
    return (int)taken;
}

static long stingy_control(BIO *bio, int command, long number, void *pointer)
{
    return command == BIO_CTRL_FLUSH;
}

static BIO *stingy(void)
{
    BIO_METHOD *method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "stingy");
    BIO_meth_set_write(method, stingy_write);
    BIO_meth_set_read(method, stingy_read);
    BIO_meth_set_ctrl(method, stingy_control);
    BIO *bio = BIO_new(method);
    BIO_set_init(bio, 1);
    return bio;
}

static void wait_for(int result)
{
    int error = SSL_get_error(ssl, result);
    struct pollfd ready = {fd, error == SSL_ERROR_WANT_WRITE ? POLLOUT : POLLIN, 0};
    expect(error == SSL_ERROR_WANT_WRITE || error == SSL_ERROR_WANT_READ, "only to be repeated");
    poll(&ready, 1, 10000);
}

/* Bytes that went, or the library's answer <= 0. */
static long put(const char *bytes, size_t length)
{
    size_t taken = 0;
    if (!has('x'))
        return SSL_write(ssl, bytes, (int)length);
    int result = SSL_write_ex(ssl, bytes, length, &taken);
    return result > 0 ? (long)taken : result;
}

static void put_all(const char *bytes, size_t length)
{
    static char places[2][REQUEST_MAX];
    size_t sent = 0, attempts = 0;
    while (sent < length) {
        size_t offered = length - sent;
        if (has('g') && attempts == 0 && offered > 60)
            offered = 60 + (offered - 60) / 2;
        const char *from = bytes + sent;
        if (has('m')) {
            from = memcpy(places[attempts % 2], from, offered);
            memset(places[(attempts + 1) % 2], '!', offered);
        }
        long result = put(from, offered);
        attempts++;
        if (result <= 0) {
            wait_for((int)result);
            continue;
        }
        expect((size_t)result <= offered, "no more than was offered");
        expect((size_t)result == offered || has('p'), "all or nothing");
        sent += (size_t)result;
        attempts = 0;
    }
    printf("sent %zu\n", sent);
}

static size_t get_some(char *buffer, size_t size)
{
    for (;;) {
        size_t length = 0;
        int result =
            has('x') ? SSL_read_ex(ssl, buffer, size, &length) : SSL_read(ssl, buffer, (int)size);
        if (result > 0)
            return has('x') ? length : (size_t)result;
        wait_for(result);
    }
}

/* One answer with a Content-Length. */
static void get_answer(void)
{
    static char buffer[8192];
    static size_t used;
    char *body;
    while ((body = memmem(buffer, used, "\r\n\r\n", 4)) == NULL)
        used += get_some(buffer + used, sizeof(buffer) - used);
    body += 4;
    const char *told = strcasestr(buffer, "content-length: ");
    size_t length = told == NULL ? 0 : strtoul(told + 16, NULL, 10);
    size_t total = (size_t)(body - buffer) + length;
    while (used < total)
        used += get_some(buffer + used, sizeof(buffer) - used);
    printf("%.*s\n", (int)length, body);
    memmove(buffer, buffer + total, used - total);
    used -= total;
}

static size_t make_request(char *out, int number, size_t body)
{
    int head = sprintf(out,
        "POST /%s/%d HTTP/1.1\r\nHost: localhost\r\nX-Number: %d\r\nContent-Length: %zu\r\n\r\n",
        mode, number, number, body);
    for (size_t i = 0; i < body; i++)
        out[(size_t)head + i] = (char)('a' + (i * 7 + (size_t)number) % 26);
    return (size_t)head + body;
}

static void set_up(int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int small = 4096;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    fd = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
    expect(connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0, "connect");
    fcntl(fd, F_SETFL, O_NONBLOCK);
    ssl = SSL_new(SSL_CTX_new(TLS_client_method()));
    if (has('s')) {
        BIO *bio = stingy();
        SSL_set_bio(ssl, bio, bio);
    } else
        SSL_set_fd(ssl, fd);
    if (has('f'))
        SSL_set_max_send_fragment(ssl, 512);
    if (has('p'))
        SSL_set_mode(ssl, SSL_MODE_ENABLE_PARTIAL_WRITE);
    if (has('m'))
        SSL_set_mode(ssl, SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    int result;
    while ((result = SSL_connect(ssl)) <= 0)
        wait_for(result);
}

int main(int argc, char **argv)
{
    static const size_t bodies[] = {0, 1, 300, 15 * 1000, 17 * 1000, BODY_MAX, 3, 0, 40 * 1000};
    static char request[REQUEST_MAX];
    enum { BODIES = sizeof(bodies) / sizeof(bodies[0]), HEADS = 5 };
    expect(argc == 3, "usage");
    mode = argv[2];
    set_up(atoi(argv[1]));
    for (int i = 0; i < BODIES; i++) {
        size_t length = 0;
        int count = has('h') ? HEADS : 1;
        for (int head = 0; head < count; head++)
            length += make_request(
                request + length, i * HEADS + head, has('h') ? bodies[i] % 400 : bodies[i]);
        put_all(request, length);
        for (int head = 0; head < count; head++)
            get_answer();
        if (has('k'))
            SSL_key_update(ssl, SSL_KEY_UPDATE_REQUESTED);
    }
    SSL_shutdown(ssl);
    SSL_free(ssl);
    close(fd);
    return 0;
}
