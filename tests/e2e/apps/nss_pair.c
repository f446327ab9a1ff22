/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Both ends of TLS by NSS: nss_pair DATABASE CASE..., the database with a certificate of localhost.
 * A case is a connection with requests that are made in its way. Prints of each what the server
 * got (the lines of the trace context aside: their number goes to stderr), and how often a write
 * was refused.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <nspr.h>
#include <nss.h>
#include <pk11pub.h>
#include <ssl.h>

enum { BODY_BYTES = 300000, SMALL = 4096, REQUESTS = 12 };

static atomic_bool may_read = true;
static const char *name;
static unsigned contexts;
static char got[BODY_BYTES * 4];
static size_t got_length;

static void must(bool is_true, const char *what)
{
    if (is_true)
        return;
    fprintf(stderr, "%s: %s: %d\n", name, what, PR_GetError());
    exit(1);
}

static void write_all(PRFileDesc *fd, const char *bytes, size_t length, unsigned *refused)
{
    PRPollDesc wish = {fd, PR_POLL_WRITE, 0};
    while (length > 0) {
        PRInt32 taken = PR_Write(fd, bytes, (PRInt32)length);
        if (taken >= 0) {
            bytes += taken;
            length -= (size_t)taken;
            continue;
        }
        must(PR_GetError() == PR_WOULD_BLOCK_ERROR, "a write");
        if (refused != NULL)
            ++*refused;
        may_read = true;
        PR_Poll(&wish, 1, PR_INTERVAL_NO_TIMEOUT);
    }
}

/* --- the server ---------------------------------------------------------------------------- */

static size_t head_of(const char *bytes, size_t length)
{
    const char *end = memmem(bytes, length, "\r\n\r\n", 4);
    return end == NULL ? 0 : (size_t)(end - bytes) + 4;
}

static size_t body_of(const char *head, size_t length)
{
    const char *line = memmem(head, length, "Content-Length: ", 16);
    return line == NULL ? 0 : strtoul(line + 16, NULL, 10);
}

/* Keeps a request, without the lines that are not the client's. */
static void keep(const char *bytes, size_t head, size_t length)
{
    const char *line = memmem(bytes, head, "traceparent: ", 13);
    if (line != NULL) {
        const char *end = (const char *)memchr(line, '\n', head - (size_t)(line - bytes)) + 1;
        contexts++;
        memcpy(got + got_length, bytes, (size_t)(line - bytes));
        got_length += (size_t)(line - bytes);
        length -= (size_t)(end - bytes);
        bytes = end;
    }
    memcpy(got + got_length, bytes, length);
    got_length += length;
}

static void *serve(void *fd)
{
    static char buffer[BODY_BYTES * 2];
    static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    size_t length = 0;
    for (;;) {
        while (!may_read)
            PR_Sleep(PR_MillisecondsToInterval(1));
        PRInt32 more = PR_Read(fd, buffer + length, (PRInt32)(sizeof(buffer) - length));
        if (more <= 0)
            break;
        length += (size_t)more;
        for (;;) {
            size_t head = head_of(buffer, length);
            size_t whole = head + body_of(buffer, head);
            if (head == 0 || whole > length)
                break;
            keep(buffer, head, whole);
            memmove(buffer, buffer + whole, length -= whole);
            write_all(fd, answer, sizeof(answer) - 1, NULL);
        }
    }
    must(PR_Close(fd) == PR_SUCCESS, "the server's close");
    return NULL;
}

/* --- the client ---------------------------------------------------------------------------- */

static size_t make(char *request, const char *method, size_t body)
{
    size_t length = (size_t)sprintf(request,
        "%s /%s HTTP/1.1\r\nHost: localhost\r\nContent-Length: %zu\r\n\r\n", method, name, body);
    for (size_t i = 0; i < body; i++)
        request[length + i] = (char)('a' + i % 26);
    return length + body;
}

static void await(PRFileDesc *fd, unsigned answers)
{
    char buffer[SMALL];
    PRPollDesc wish = {fd, PR_POLL_READ, 0};
    for (size_t left = 40u * answers; left > 0;) {
        PRInt32 more =
            PR_Recv(fd, buffer, (PRInt32)(left < SMALL ? left : SMALL), 0, PR_INTERVAL_NO_TIMEOUT);
        must(more > 0 || PR_GetError() == PR_WOULD_BLOCK_ERROR, "a read");
        if (more < 0)
            PR_Poll(&wish, 1, PR_INTERVAL_NO_TIMEOUT);
        else
            left -= (size_t)more;
    }
}

static void *await_all(void *fd)
{
    await(fd, REQUESTS);
    return NULL;
}

static void set(PRFileDesc *fd, PRSockOption option, PRSize size)
{
    PRSocketOptionData data = {.option = option};
    if (option == PR_SockOpt_Nonblocking)
        data.value.non_blocking = size != 0;
    else
        data.value.send_buffer_size = size;
    must(PR_SetSocketOption(fd, &data) == PR_SUCCESS, "an option");
}

static bool is(const char *other)
{
    return strcmp(name, other) == 0;
}

static PRIOMethods copied;

static void ask(PRFileDesc *fd)
{
    static char request[BODY_BYTES + SMALL];
    unsigned refused = 0;
    if (is("refused")) {
        may_read = false;
        write_all(fd, request, make(request, "POST", BODY_BYTES), &refused);
        await(fd, 1);
        may_read = false; /* now within the head */
        write_all(fd, request, make(request, "POST", 12000), &refused);
        may_read = true;
        await(fd, 1);
    } else if (is("pieces")) {
        size_t length = make(request, "POST", 30);
        PRIOVec pieces[] = {{request, 10}, {request + 10, 0}, {request + 10, (int)length - 10}};
        must(PR_Writev(fd, pieces, 3, PR_INTERVAL_NO_TIMEOUT) == (PRInt32)length, "pieces");
        await(fd, 1);
    } else if (is("twice")) { /* read */
        write_all(fd, request, make(request, "GET", 0), NULL);
        must(PR_Recv(fd, request, 5, PR_MSG_PEEK, PR_INTERVAL_NO_TIMEOUT) == 5, "a look");
        await(fd, 1);
    } else if (is("threads")) {
        pthread_t reader;
        pthread_create(&reader, NULL, await_all, fd);
        for (int i = 0; i < REQUESTS; i++)
            write_all(fd, request, make(request, "POST", 2000), NULL);
        pthread_join(reader, NULL);
    } else {
        for (int i = 0; i < 2; i++) {
            size_t length = make(request, "GET", 0);
            must(
                PR_Send(fd, request, (PRInt32)length, 0, PR_INTERVAL_NO_TIMEOUT) == (PRInt32)length,
                "a request");
            await(fd, 1);
        }
    }
    printf("%s: %s\n", name, refused > 0 ? "refused" : "taken");
}

/* --- sessions ------------------------------------------------------------------------------ */

static SECStatus trust(void *argument, PRFileDesc *fd, PRBool check, PRBool is_server)
{
    (void)argument, (void)fd, (void)check, (void)is_server;
    return SECSuccess;
}

static PRFileDesc *secure(PRFileDesc *socket, bool is_server)
{
    PRFileDesc *fd = SSL_ImportFD(NULL, socket);
    must(fd != NULL, "SSL_ImportFD");
    if (is("plain")) {
        SSL_OptionSet(fd, SSL_SECURITY, PR_FALSE);
        return fd;
    }
    SSL_OptionSet(fd, SSL_SECURITY, PR_TRUE);
    SSL_OptionSet(fd, is_server ? SSL_HANDSHAKE_AS_SERVER : SSL_HANDSHAKE_AS_CLIENT, PR_TRUE);
    if (is("threads"))
        SSL_OptionSet(fd, SSL_ENABLE_FDX, PR_TRUE);
    if (is_server) {
        CERTCertificate *certificate = PK11_FindCertFromNickname("localhost", NULL);
        SECKEYPrivateKey *key = PK11_FindKeyByAnyCert(certificate, NULL);
        must(SSL_ConfigServerCert(fd, certificate, key, NULL, 0) == SECSuccess, "the certificate");
        SECKEY_DestroyPrivateKey(key);
        CERT_DestroyCertificate(certificate);
    } else {
        SSL_AuthCertificateHook(fd, trust, NULL);
        SSL_SetURL(fd, "localhost");
    }
    if (!is("early"))
        SSL_ResetHandshake(fd, is_server);
    return fd;
}

static PRFileDesc *connect_to(const PRNetAddr *address)
{
    PRFileDesc *fd = PR_NewTCPSocket();
    if (is("refused"))
        set(fd, PR_SockOpt_SendBufferSize, SMALL);
    if (is("early")) /* made before it is connected */
        fd = secure(fd, false);
    must(PR_Connect(fd, address, PR_INTERVAL_NO_TIMEOUT) == PR_SUCCESS, "connect");
    return is("early") ? fd : secure(fd, false);
}

static void run(void)
{
    PRNetAddr address;
    pthread_t server;
    PR_InitializeNetAddr(PR_IpAddrLoopback, 0, &address);
    PRFileDesc *listener = PR_NewTCPSocket(), *accepted;
    if (is("refused")) /* what is accepted has it, too */
        set(listener, PR_SockOpt_RecvBufferSize, SMALL);
    must(PR_Bind(listener, &address) == PR_SUCCESS && PR_Listen(listener, 8) == PR_SUCCESS &&
             PR_GetSockName(listener, &address) == PR_SUCCESS,
        "listen");
    if (is("early"))
        listener = secure(listener, true);
    PRFileDesc *client = connect_to(&address);
    accepted = PR_Accept(listener, NULL, PR_INTERVAL_NO_TIMEOUT);
    if (!is("early"))
        accepted = secure(accepted, true);
    else
        SSL_ResetHandshake(accepted, PR_TRUE);
    pthread_create(&server, NULL, serve, accepted);
    if (!is("plain") && !is("implied"))
        must(SSL_ForceHandshake(client) == SECSuccess, "a handshake");
    if (is("refused"))
        set(client, PR_SockOpt_Nonblocking, 1);
    if (is("layers")) {
        PRFileDesc *layer =
            PR_CreateIOLayerStub(PR_GetUniqueIdentity("above"), PR_GetDefaultIOMethods());
        must(PR_PushIOLayer(client, PR_TOP_IO_LAYER, layer) == PR_SUCCESS, "a layer");
    }
    if (is("copied")) {
        copied = *client->methods;
        client->methods = &copied;
    }
    ask(client);
    must(PR_Close(client) == PR_SUCCESS, "close");
    pthread_join(server, NULL);
    PR_Close(listener);
    unsigned hash = 2166136261u;
    for (size_t i = 0; i < got_length; i++)
        hash = (hash ^ (unsigned char)got[i]) * 16777619u;
    printf("%s: %zu bytes, %08x\n", name, got_length, hash);
    fprintf(stderr, "%s %u\n", name, contexts);
    got_length = contexts = 0;
}

int main(int count, char **arguments)
{
    name = "nss";
    must(count > 2 && NSS_Init(arguments[1]) == SECSuccess, "the database");
    NSS_SetDomesticPolicy();
    SSL_ConfigServerSessionIDCache(0, 0, 0, NULL);
    for (int i = 2; i < count; i++) {
        name = arguments[i];
        run();
    }
    return 0;
}
