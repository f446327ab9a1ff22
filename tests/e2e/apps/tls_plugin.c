/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A plugin with a TLS library of its own: tls_plugin_ask(port, path) makes a request and prints the
 * answer's body, and from which library it was called back meanwhile.
 */
#include <arpa/inet.h>
#include <dlfcn.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static char library[256];

/* Called by libssl itself, hence from the copy that is at work. */
static void note(
    int is_write, int version, int kind, const void *bytes, size_t length, SSL *ssl, void *argument)
{
    Dl_info info;
    const char *name = dladdr(__builtin_return_address(0), &info) == 0 ? "?" : info.dli_fname;
    const char *slash = strrchr(name, '/');
    name = slash == NULL ? name : slash + 1;
    if (strstr(library, name) == NULL)
        snprintf(library + strlen(library), sizeof(library) - strlen(library), "%s ", name);
}

static int connect_to(int port)
{
    struct sockaddr_in there = {.sin_family = AF_INET,
        .sin_port = htons((uint16_t)port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    return connect(fd, (struct sockaddr *)&there, sizeof(there)) == 0 ? fd : -1;
}

int tls_plugin_ask(int port, const char *path);

int tls_plugin_ask(int port, const char *path)
{
    char text[4096];
    int fd = connect_to(port), got = 0, length;
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    SSL *ssl = SSL_new(context);
    SSL_set_msg_callback(ssl, note);
    SSL_set_fd(ssl, fd);
    if (fd < 0 || SSL_connect(ssl) != 1)
        return 1;
    length = snprintf(text, sizeof(text),
        "GET %s HTTP/1.1\r\nHost: localhost:%d\r\nConnection: close\r\n\r\n", path, port);
    if (SSL_write(ssl, text, length) != length)
        return 2;
    while ((length = SSL_read(ssl, text + got, (int)sizeof(text) - 1 - got)) > 0)
        got += length;
    text[got] = '\0';
    const char *body = strstr(text, "\r\n\r\n");
    printf("%sby %s\n", body == NULL ? "" : body + 4, library);
    fflush(stdout);
    SSL_free(ssl);
    SSL_CTX_free(context);
    close(fd);
    return 0;
}
