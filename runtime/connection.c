/* SPDX-License-Identifier: Apache-2.0 */
#include "connection.h"

#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "counters.h"
#include "descriptor.h"
#include "logs.h"
#include "pool.h"
#include "sys.h"
#include "text_pool.h"

#ifndef SO_MEMINFO
#define SO_MEMINFO 55
#endif
#ifndef SO_COOKIE
#define SO_COOKIE 57
#endif

enum { SPINS_MAX = 500, NAPS_MAX = 100, NAP_NS = 50 * 1000 };

static struct pool connections = {.block_shift = 10, .clear_bytes = sizeof(struct connection)};
_Static_assert(sizeof(struct connection) <= 1 << 10, "a connection fits its block");

static struct connection *at_slot(uint32_t slot)
{
    return pool_block(&connections, slot - SLOT_FIRST);
}

static uint64_t entry_of(const struct connection *connection, uint32_t generation)
{
    return (uint64_t)generation << 32 |
           (SLOT_FIRST + __atomic_load_n(&connection->index, __ATOMIC_RELAXED));
}

static bool try_lock(struct thread *self, struct connection *connection)
{
    uint32_t expected = 0;
    return __atomic_compare_exchange_n(
        &connection->lock, &expected, self->index, false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
}

/* The holder is at work on one buffer, without a system call; if it takes longer, it has lost its
 * processor, or will never come back. */
static void pause_for(int tries)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
    if (tries < SPINS_MAX || !process_may_call())
        return;
    struct timespec nap = {0, NAP_NS};
    sys(SYS_nanosleep, &nap, NULL);
}

static bool lock(struct thread *self, struct connection *connection)
{
    for (int i = 0; i < SPINS_MAX + NAPS_MAX; i++) {
        if (try_lock(self, connection))
            return true;
        if (__atomic_load_n(&connection->lock, __ATOMIC_RELAXED) == self->index)
            return false; /* our own, torn away by siglongjmp: its state cannot be trusted */
        pause_for(i);
    }
    return false;
}

/* Only if it is still ours: the block may have been given back and taken anew meanwhile. */
static void unlock(struct thread *self, struct connection *connection)
{
    uint32_t expected = self->index;
    __atomic_compare_exchange_n(
        &connection->lock, &expected, 0, false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
}

static bool is_orphan(const struct connection *connection)
{
    return __atomic_load_n(&connection->orphan, __ATOMIC_SEQ_CST);
}

static void destroy(struct thread *self, struct connection *connection, int fd)
{
    stream_end(self, connection, fd);
    __atomic_fetch_add(&connection->generation, 1, __ATOMIC_SEQ_CST);
    uint32_t index = connection->index;
    __atomic_store_n(&connection->counted, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&connection->orphan, false, __ATOMIC_SEQ_CST);
    unlock(self, connection);
    pool_give(&connections, index);
}

/* Whoever comes first ends an orphan: the block may be another's connection by now. */
static void bury(struct thread *self, struct connection *connection, int fd)
{
    if (!is_orphan(connection) || !try_lock(self, connection))
        return; /* who leaves it buries it */
    if (is_orphan(connection))
        destroy(self, connection, fd);
    else
        unlock(self, connection);
}

/* What fd meant before loses a reference, whoever gave it that meaning, and when. */
static void set_entry(struct thread *self, int fd, uint64_t entry)
{
    uint32_t before = descriptor_set(fd, entry);
    if (before < SLOT_FIRST)
        return;
    struct connection *connection = at_slot(before);
    if (__atomic_sub_fetch(&connection->references, 1, __ATOMIC_ACQ_REL) != 0)
        return;
    __atomic_store_n(&connection->orphan, true, __ATOMIC_SEQ_CST);
    bury(self, connection, fd);
}

/* Connections without a descriptor that a handler could not end, linked by pool_link. Pushed one by
 * one, taken all at once: no block can come back while another is being pushed (ABA). */
static uint32_t abandoned;

static void abandon(struct connection *connection)
{
    uint32_t first = __atomic_load_n(&abandoned, __ATOMIC_RELAXED);
    do
        connection->pool_link = first;
    while (!__atomic_compare_exchange_n(
        &abandoned, &first, connection->index, true, __ATOMIC_RELEASE, __ATOMIC_RELAXED));
}

static void bury_abandoned(struct thread *self)
{
    uint32_t index = __atomic_exchange_n(&abandoned, 0, __ATOMIC_ACQUIRE);
    while (index != 0) {
        struct connection *connection = pool_block(&connections, index);
        index = (uint32_t)connection->pool_link;
        __atomic_store_n(&connection->orphan, true, __ATOMIC_SEQ_CST);
        bury(self, connection, -1);
    }
}

static inline __attribute__((always_inline)) struct connection *make(
    struct thread *self, bool has_room, enum connection_origin origin)
{
    if (__builtin_expect(__atomic_load_n(&abandoned, __ATOMIC_RELAXED) != 0, 0))
        bury_abandoned(self);
    uint32_t index = has_room ? pool_take(&connections) : 0;
    if (index == 0) {
        counter_add(COUNTER_CONNECTIONS_REFUSED, 1);
        return NULL;
    }
    static uint32_t generations;
    struct connection *connection = pool_block(&connections, index);
    __atomic_store_n(&connection->index, index, __ATOMIC_RELAXED);
    __atomic_store_n(&connection->generation, __atomic_add_fetch(&generations, 1, __ATOMIC_RELAXED),
        __ATOMIC_RELAXED);
    connection->references = 1;
    __atomic_store_n(&connection->epoch, process.epoch, __ATOMIC_RELAXED);
    connection->origin = origin;
    /* Whoever finds it waits until it is left. */
    __atomic_store_n(&connection->lock, self->index, __ATOMIC_SEQ_CST);
    return connection;
}

struct connection *connection_make(
    struct thread *self, int fd, enum connection_origin origin, const struct address *peer)
{
    connection_release(self, fd);
    struct connection *connection = make(self, (uint32_t)fd < descriptor_limit, origin);
    if (connection == NULL) {
        descriptor_set(fd, logs_unfollowed());
        return NULL;
    }
    if (peer != NULL)
        connection->peer = *peer;
    if (origin != ORIGIN_ACCEPTED)
        connection->identity = connection_identity(fd);
    set_entry(self, fd, entry_of(connection, connection->generation));
    return connection;
}

struct connection *connection_make_bare(struct thread *self, enum connection_origin origin)
{
    return make(self, true, origin);
}

static int socket_option(int fd, int option)
{
    int value = -1;
    socklen_t length = sizeof(value);
    if (sys(SYS_getsockopt, fd, SOL_SOCKET, option, &value, &length) != 0)
        return -1;
    return value;
}

uint64_t connection_identity(int fd)
{
    uint64_t cookie = 0;
    socklen_t length = sizeof(cookie);
    if (!process_may_call() ||
        sys(SYS_getsockopt, fd, SOL_SOCKET, SO_COOKIE, &cookie, &length) != 0)
        return 0;
    return cookie;
}

bool connection_is_drained(int fd)
{
    uint32_t memory[SK_MEMINFO_VARS] = {0};
    socklen_t length = sizeof(memory);
    return sys(SYS_getsockopt, fd, SOL_SOCKET, SO_MEMINFO, memory, &length) == 0 &&
           length > SK_MEMINFO_WMEM_QUEUED * sizeof(*memory) &&
           memory[SK_MEMINFO_WMEM_ALLOC] == 0 && memory[SK_MEMINFO_WMEM_QUEUED] == 0;
}

/* What inetd and its like start has its socket by two numbers or three. */
static bool is_standard_again(struct thread *self, int fd)
{
    uint64_t identity = fd <= STDERR_FILENO ? connection_identity(fd) : 0;
    for (int other = STDIN_FILENO; identity != 0 && other <= STDERR_FILENO; other++)
        if (descriptor_slot(other) >= SLOT_FIRST &&
            at_slot(descriptor_slot(other))->identity == identity) {
            connection_share(self, other, fd);
            return true;
        }
    return false;
}

static void classify_socket(struct thread *self, int fd)
{
    struct sockaddr_storage storage;
    socklen_t length = sizeof(storage);
    struct address peer;
    if (sys(SYS_getpeername, fd, &storage, &length) != 0)
        return; /* not connected yet: connect will tell */
    address_set(&peer, (struct sockaddr *)&storage, length);
    if (peer.family == 0) {
        descriptor_set(fd, logs_unfollowed());
        return;
    }
    if (is_standard_again(self, fd))
        return;
    struct connection *connection = connection_make(self, fd, ORIGIN_UNKNOWN, &peer);
    if (connection != NULL)
        connection_leave(self, connection);
}

/* First sight of a number. Files and pipes leave with one system call and no thread block, unless
 * logs are asked for. */
__attribute__((noinline)) static void classify(int fd)
{
    if (!process_may_call() || socket_option(fd, SO_TYPE) != SOCK_STREAM) {
        descriptor_set(fd, logs_classify(fd));
        return;
    }
    if (socket_option(fd, SO_ACCEPTCONN) == 1) {
        descriptor_set(fd, SLOT_LISTENER);
        return;
    }
    struct thread *self = observe_open();
    if (self == NULL)
        return;
    classify_socket(self, fd);
    observe_close(self);
}

/* A server of many connections finds each of them cold. Asked for now, what the report after the
 * call will need is there when the kernel is done. */
static void prefetch(const struct connection *connection)
{
    __builtin_prefetch(connection);
    __builtin_prefetch(&connection->first);
    for (size_t i = 0; i < CONNECTION_STATE_WARM_BYTES; i += 64)
        __builtin_prefetch(connection->protocol_state + i);
    __builtin_prefetch(&connection->peer);
    __builtin_prefetch(&connection->peer_text);
}

bool connection_look(int fd, struct sight *sight)
{
    if (thread_in_vfork != 0 || thread_is_exempt())
        return false;
    uint64_t entry = descriptor_entry(fd);
    if (entry == SLOT_UNKNOWN) {
        classify(fd);
        entry = descriptor_entry(fd);
    }
    if ((uint32_t)entry < SLOT_FIRST)
        return false;
    sight->connection = at_slot((uint32_t)entry);
    sight->generation = (uint32_t)(entry >> 32);
    sight->fd = fd;
    prefetch(sight->connection);
    return true;
}

void connection_drop(struct connection *connection)
{
    if (__atomic_sub_fetch(&connection->references, 1, __ATOMIC_ACQ_REL) == 0)
        __atomic_store_n(&connection->orphan, true, __ATOMIC_SEQ_CST);
}

/* Is fd in this process the connection that the parent knew? A forked child's memory is copied a
 * moment after its descriptors, while the parent's other threads go on: the number may be another
 * one's here, and a connection of theirs is caught half made, or held by who is not here. */
static bool is_whole(const struct connection *connection, int fd)
{
    bool is_held = __atomic_load_n(&connection->lock, __ATOMIC_RELAXED) != 0;
    bool is_half_made = connection->origin == ORIGIN_CONNECTED && connection->identity == 0;
    return !is_held && !is_half_made && socket_option(fd, SO_TYPE) == SOCK_STREAM &&
           connection_is_same(connection, fd);
}

/* Asked once for each connection that a forked child uses. */
__attribute__((noinline)) static bool inherit(
    struct thread *self, struct connection *connection, int fd)
{
    if (process_may_call() && is_whole(connection, fd)) {
        __atomic_store_n(&connection->epoch, process.epoch, __ATOMIC_RELAXED);
        return true;
    }
    connection_release(self, fd);
    return false;
}

bool connection_enter(struct thread *self, const struct sight *sight)
{
    struct connection *connection = sight->connection;
    if (__atomic_load_n(&connection->generation, __ATOMIC_ACQUIRE) != sight->generation)
        return false;
    /* 0: it was given back since, and is being taken anew. */
    uint32_t epoch = __atomic_load_n(&connection->epoch, __ATOMIC_RELAXED);
    if (__builtin_expect(epoch != process.epoch, 0) &&
        (epoch == 0 || !inherit(self, connection, sight->fd)))
        return false;
    if (!lock(self, connection)) {
        counter_add(COUNTER_CONNECTIONS_CONTENDED, 1);
        if (descriptor_replace(
                sight->fd, entry_of(connection, sight->generation), logs_unfollowed()))
            connection_drop(connection);
        return false;
    }
    if (__atomic_load_n(&connection->generation, __ATOMIC_ACQUIRE) == sight->generation &&
        !is_orphan(connection))
        return true;
    connection_leave(self, connection);
    return false;
}

void connection_leave(struct thread *self, struct connection *connection)
{
    unlock(self, connection);
    bury(self, connection, -1);
}

/* A connection that nobody refers to any more is about to end, whoever still looks at it. */
static bool add_reference(struct connection *connection)
{
    uint32_t seen = __atomic_load_n(&connection->references, __ATOMIC_RELAXED);
    while (seen != 0 && !__atomic_compare_exchange_n(&connection->references, &seen, seen + 1, true,
                            __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
        ;
    return seen != 0;
}

/* Under the lock, so that the connection cannot end meanwhile: another thread may close `from` at
 * any time. */
static bool share(struct thread *self, int from, uint64_t entry)
{
    struct sight sight = {at_slot((uint32_t)entry), (uint32_t)(entry >> 32), from};
    if (!connection_enter(self, &sight))
        return false;
    bool is_shared = add_reference(sight.connection);
    connection_leave(self, sight.connection);
    return is_shared;
}

void connection_share(struct thread *self, int from, int to)
{
    uint64_t entry = descriptor_entry(from);
    if (entry == descriptor_entry(to))
        return;
    connection_release(self, to);
    if ((uint32_t)entry >= SLOT_FIRST && !share(self, from, entry))
        entry = logs_unfollowed();
    else if (entry == SLOT_PLAIN || (uint32_t)entry == SLOT_LOG)
        entry = logs_classify(to); /* it may be one by its number, or not be one by it */
    set_entry(self, to, entry);    /* what is not followed here is not followed there */
}

void connection_release(struct thread *self, int fd)
{
    if (descriptor_slot(fd) != SLOT_UNKNOWN)
        set_entry(self, fd, SLOT_UNKNOWN);
}

void connection_abandon(int fd)
{
    uint32_t slot = descriptor_set(fd, SLOT_UNKNOWN);
    if (slot >= SLOT_FIRST &&
        __atomic_sub_fetch(&at_slot(slot)->references, 1, __ATOMIC_ACQ_REL) == 0)
        abandon(at_slot(slot));
}

void connection_ignore(struct thread *self, struct connection *connection, int fd)
{
    connection->state = CONNECTION_IGNORED;
    if (connection->pending.text_index != 0)
        return; /* the host's next bytes must find us: half a line of ours is out */
    if (descriptor_replace(fd, entry_of(connection, connection->generation), logs_unfollowed()))
        connection_drop(connection);
}

bool connection_is_same(const struct connection *connection, int fd)
{
    return connection->identity == 0 || connection_identity(fd) == connection->identity;
}

int connection_descriptor(const struct connection *connection)
{
    uint64_t entry = entry_of(connection, connection->generation);
    uint32_t highest = __atomic_load_n(&descriptor_highest, __ATOMIC_RELAXED);
    for (uint32_t fd = 0; fd <= highest; fd++)
        if (descriptor_entry((int)fd) == entry)
            return (int)fd;
    return -1;
}

uint32_t connection_next(uint32_t index, struct sight *sight)
{
    uint32_t last = __atomic_load_n(&connections.fresh, __ATOMIC_ACQUIRE);
    while (++index <= last) {
        struct connection *connection = pool_block(&connections, index);
        sight->connection = connection;
        sight->generation = __atomic_load_n(&connection->generation, __ATOMIC_ACQUIRE);
        if (__atomic_load_n(&connection->counted, __ATOMIC_RELAXED) != 0 &&
            __atomic_load_n(&connection->epoch, __ATOMIC_RELAXED) == process.epoch)
            return index;
    }
    return 0;
}
