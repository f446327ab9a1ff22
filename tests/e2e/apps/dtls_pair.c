/* SPDX-License-Identifier: Apache-2.0 */
/* DTLS from one thread to another: packets that are too large are refused, and the next one, which
 * is shorter, goes as it is. Status 0: each call answered what GnuTLS alone answers. */
#include <gnutls/dtls.h>
#include <gnutls/gnutls.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

static int sockets[2];

static gnutls_session_t open_session(unsigned end, gnutls_credentials_type_t type, void *anonymous)
{
    gnutls_session_t session;
    gnutls_init(&session, end | GNUTLS_DATAGRAM);
    gnutls_priority_set_direct(session, "NORMAL:-VERS-ALL:+VERS-DTLS1.2:-KX-ALL:+ANON-ECDH", NULL);
    gnutls_credentials_set(session, type, anonymous);
    gnutls_transport_set_int(session, sockets[end == GNUTLS_SERVER]);
    gnutls_dtls_set_mtu(session, 1400);
    int result;
    do
        result = gnutls_handshake(session);
    while (result < 0 && !gnutls_error_is_fatal(result));
    if (result < 0)
        exit(10);
    return session;
}

static void *serve(void *unused)
{
    gnutls_anon_server_credentials_t anonymous;
    char got[4096];
    gnutls_anon_allocate_server_credentials(&anonymous);
    gnutls_session_t session = open_session(GNUTLS_SERVER, GNUTLS_CRD_ANON, anonymous);
    (void)unused;
    return (void *)gnutls_record_recv(session, got, sizeof(got));
}

int main(void)
{
    gnutls_anon_client_credentials_t anonymous;
    pthread_t server;
    void *got;
    char packet[4096];
    memset(packet, 'x', sizeof(packet));
    if (socketpair(AF_UNIX, SOCK_DGRAM, 0, sockets) != 0 ||
        pthread_create(&server, NULL, serve, NULL) != 0)
        return 1;
    gnutls_anon_allocate_client_credentials(&anonymous);
    gnutls_session_t session = open_session(GNUTLS_CLIENT, GNUTLS_CRD_ANON, anonymous);
    size_t room = gnutls_dtls_get_data_mtu(session);
    if (gnutls_record_send(session, packet, room + 12) != GNUTLS_E_LARGE_PACKET)
        return 2;
    if (gnutls_record_send(session, packet, room - 100) != (ssize_t)room - 100)
        return 3;
    pthread_join(server, &got);
    return (size_t)got == room - 100 ? 0 : 4;
}
