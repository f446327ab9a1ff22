/* SPDX-License-Identifier: Apache-2.0 */
/* socket.socket: the way of all bytes of a program in Python to the C library. */
#include <stddef.h>

#include "python.h"

enum { SEND, SENDALL, SENDTO, SENDMSG, CONNECT, CONNECT_EX, SENDS };
enum { RECV, RECV_INTO, RECVFROM, RECVFROM_INTO, RECVMSG, RECVMSG_INTO, RECVS };

/* Modules/socketmodule.h: how one begins, in every version. */
struct python_socket {
    struct python_head head;
    int fd;
};

static py_method *sends[SENDS], *recvs[RECVS];

static void *send_by(int which, void *self, void *a, void *b, void *c)
{
    if (!python_is_ours())
        return sends[which](self, a, b, c);
    bool is_green = greenlets_refresh();
    current_tell();
    void *result = sends[which](self, a, b, c);
    if (is_green)
        greenlets_leave();
    tasks_doubt();
    return result;
}

static void *recv_by(int which, void *self, void *a, void *b, void *c)
{
    bool is_green = python_is_ours() && greenlets_refresh();
    if (is_green)
        current_tell();
    void *result = recvs[which](self, a, b, c);
    if (result != NULL && python_is_ours())
        current_learn(((const struct python_socket *)self)->fd);
    if (is_green)
        greenlets_leave();
    tasks_doubt();
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

/* Modules/_ssl.c: how what is inside TLS begins, in every version. */
struct python_secure {
    struct python_head head;
    struct py_object *socket; /* weakly; NULL: event loops do so by memory */
};

/* A socket inside TLS writes and reads by itself. */
static int secure_fd(const struct python_secure *secure)
{
    const struct python_socket *socket = NULL;
    if (secure->socket != NULL)
        socket = (const struct python_socket *)py.PyWeakref_GetObject(secure->socket);
    return socket == NULL || (const struct py_object *)socket == tasks_none() ? -1 : socket->fd;
}

static py_method *original_write, *original_read;

static void *secure_by(py_method *original, void *self, void *a, void *b, void *c)
{
    if (!python_is_ours() || ((const struct python_secure *)self)->socket == NULL)
        return original(self, a, b, c);
    bool is_green = greenlets_refresh();
    current_tell();
    void *result = original(self, a, b, c);
    if (result != NULL)
        current_learn(secure_fd(self));
    if (is_green)
        greenlets_leave();
    tasks_doubt();
    return result;
}

static void *our_write(void *self, void *a, void *b, void *c)
{
    return secure_by(original_write, self, a, b, c);
}

static void *our_read(void *self, void *a, void *b, void *c)
{
    return secure_by(original_read, self, a, b, c);
}

static struct python_place rows[] = {
    {PLACE("_socket", "socket", "send"), {our_send}, &sends[SEND]},
    {PLACE("_socket", "socket", "sendall"), {our_sendall}, &sends[SENDALL]},
    {PLACE("_socket", "socket", "sendto"), {our_sendto}, &sends[SENDTO]},
    {PLACE("_socket", "socket", "sendmsg"), {our_sendmsg}, &sends[SENDMSG]},
    {PLACE("_socket", "socket", "connect"), {our_connect}, &sends[CONNECT]},
    {PLACE("_socket", "socket", "connect_ex"), {our_connect_ex}, &sends[CONNECT_EX]},
    {PLACE("_socket", "socket", "recv"), {our_recv}, &recvs[RECV]},
    {PLACE("_socket", "socket", "recv_into"), {our_recv_into}, &recvs[RECV_INTO]},
    {PLACE("_socket", "socket", "recvfrom"), {our_recvfrom}, &recvs[RECVFROM]},
    {PLACE("_socket", "socket", "recvfrom_into"), {our_recvfrom_into}, &recvs[RECVFROM_INTO]},
    {PLACE("_socket", "socket", "recvmsg"), {our_recvmsg}, &recvs[RECVMSG]},
    {PLACE("_socket", "socket", "recvmsg_into"), {our_recvmsg_into}, &recvs[RECVMSG_INTO]},
    {PLACE("_ssl", "_SSLSocket", "write"), {our_write}, &original_write},
    {PLACE("_ssl", "_SSLSocket", "read"), {our_read}, &original_read},
};

const struct python_places socket_places = {rows, sizeof(rows) / sizeof(rows[0])};
