/* SPDX-License-Identifier: Apache-2.0 */
/* socket.socket: the way of all bytes of a program in Python to the C library. */
#include <stddef.h>

#include "python.h"

enum { SEND, SENDALL, SENDTO, SENDMSG, CONNECT, CONNECT_EX, SENDS };
enum { RECV, RECV_INTO, RECVFROM, RECVFROM_INTO, RECVMSG, RECVMSG_INTO, RECVS };

static py_method *sends[SENDS], *recvs[RECVS];

static void *send_by(int which, void *self, void *a, void *b, void *c)
{
    if (python_is_ours())
        current_tell();
    return sends[which](self, a, b, c);
}

static void *recv_by(int which, void *self, void *a, void *b, void *c)
{
    void *result = recvs[which](self, a, b, c);
    if (result != NULL && python_is_ours())
        current_learn();
    return result;
}

static void *our_send(void *self, void *a, void *b, void *c)
{
    return send_by(SEND, self, a, b, c);
}

static void *our_sendall(void *self, void *a, void *b, void *c)
{
    return send_by(SENDALL, self, a, b, c);
}

static void *our_sendto(void *self, void *a, void *b, void *c)
{
    return send_by(SENDTO, self, a, b, c);
}

static void *our_sendmsg(void *self, void *a, void *b, void *c)
{
    return send_by(SENDMSG, self, a, b, c);
}

static void *our_connect(void *self, void *a, void *b, void *c)
{
    return send_by(CONNECT, self, a, b, c);
}

static void *our_connect_ex(void *self, void *a, void *b, void *c)
{
    return send_by(CONNECT_EX, self, a, b, c);
}

static void *our_recv(void *self, void *a, void *b, void *c)
{
    return recv_by(RECV, self, a, b, c);
}

static void *our_recv_into(void *self, void *a, void *b, void *c)
{
    return recv_by(RECV_INTO, self, a, b, c);
}

static void *our_recvfrom(void *self, void *a, void *b, void *c)
{
    return recv_by(RECVFROM, self, a, b, c);
}

static void *our_recvfrom_into(void *self, void *a, void *b, void *c)
{
    return recv_by(RECVFROM_INTO, self, a, b, c);
}

static void *our_recvmsg(void *self, void *a, void *b, void *c)
{
    return recv_by(RECVMSG, self, a, b, c);
}

static void *our_recvmsg_into(void *self, void *a, void *b, void *c)
{
    return recv_by(RECVMSG_INTO, self, a, b, c);
}

static struct python_place rows[] = {
    {"_socket", "socket", "send", our_send, &sends[SEND]},
    {"_socket", "socket", "sendall", our_sendall, &sends[SENDALL]},
    {"_socket", "socket", "sendto", our_sendto, &sends[SENDTO]},
    {"_socket", "socket", "sendmsg", our_sendmsg, &sends[SENDMSG]},
    {"_socket", "socket", "connect", our_connect, &sends[CONNECT]},
    {"_socket", "socket", "connect_ex", our_connect_ex, &sends[CONNECT_EX]},
    {"_socket", "socket", "recv", our_recv, &recvs[RECV]},
    {"_socket", "socket", "recv_into", our_recv_into, &recvs[RECV_INTO]},
    {"_socket", "socket", "recvfrom", our_recvfrom, &recvs[RECVFROM]},
    {"_socket", "socket", "recvfrom_into", our_recvfrom_into, &recvs[RECVFROM_INTO]},
    {"_socket", "socket", "recvmsg", our_recvmsg, &recvs[RECVMSG]},
    {"_socket", "socket", "recvmsg_into", our_recvmsg_into, &recvs[RECVMSG_INTO]},
};

const struct python_places socket_places = {rows, sizeof(rows) / sizeof(rows[0])};
