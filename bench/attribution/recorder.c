/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records what a workload reads and writes on its TCP sockets, for rules other than ours that are
 * played on it afterwards (baselines.py). By LD_PRELOAD; never together with the library.
 *
 * RECORDER_FILE is a file of RECORDS_MAX records, which all processes map. A record's number is its
 * place in time: a write has one before it is made, a read after. What was received and where a
 * connection came from is not interpreted here: only the benchmark's tokens are looked for.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { RECORDS_MAX = 1 << 21, DESCRIPTORS_MAX = 1 << 16, LOOK_BYTES = 16 * 1024, START_BYTES = 8 };
enum side { NOBODY, SERVES, CALLS };
enum what { READ = 1, WROTE, SOCKET, CLOSED };

/* One for each token of a call of the C library; at least one. 44 bytes, in this order:
 * baselines.py. */
struct record {
    uint32_t is_whole, what, side, pid, tid, fd;
    uint32_t is_more; /* of the call before it */
    char start[START_BYTES];
    char kind; /* 'u', 'w' or 'b'; 0: no token */
    uint8_t k;
    uint32_t number; /* of the token */
};

static struct {
    uint32_t next, unused[10];
    struct record records[RECORDS_MAX];
} * log_file;
static uint8_t sides[DESCRIPTORS_MAX];
static char program[START_BYTES]; /* which SOCKET starts with */

_Static_assert(sizeof(struct record) == 44, "as baselines.py reads it");

__attribute__((constructor)) static void start(void)
{
    memcpy(program, program_invocation_short_name,
        strnlen(program_invocation_short_name, sizeof(program)));
    const char *path = getenv("RECORDER_FILE");
    int fd = path == NULL ? -1 : open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return;
    void *memory = mmap(NULL, sizeof(*log_file), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    log_file = memory == MAP_FAILED ? NULL : memory;
    close(fd);
}

static enum side side_of(int fd)
{
    return log_file == NULL || fd < 0 || fd >= DESCRIPTORS_MAX ? NOBODY : sides[fd];
}

static void set_side(int fd, enum side side)
{
    if (fd >= 0 && fd < DESCRIPTORS_MAX)
        sides[fd] = side;
}

static struct record *note(enum what what, int fd)
{
    uint32_t at = __atomic_fetch_add(&log_file->next, 1, __ATOMIC_RELAXED);
    if (at >= RECORDS_MAX)
        return NULL;
    struct record *record = &log_file->records[at];
    *record = (struct record){.what = what,
        .side = side_of(fd),
        .pid = (uint32_t)getpid(),
        .tid = (uint32_t)syscall(SYS_gettid),
        .fd = (uint32_t)fd};
    return record;
}

static bool is_word(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* u5q, w5q or b5q, and then perhaps .1: the next one from `at`; 0: none. */
static size_t find(const char *bytes, size_t length, size_t at, struct record *found)
{
    for (; at < length; at++) {
        char kind = bytes[at];
        if ((kind != 'u' && kind != 'w' && kind != 'b') || (at > 0 && is_word(bytes[at - 1])))
            continue;
        size_t end = at + 1;
        uint32_t number = 0;
        while (end < length && bytes[end] >= '0' && bytes[end] <= '9')
            number = number * 10 + (uint32_t)(bytes[end++] - '0');
        if (end == at + 1 || end >= length || bytes[end] != 'q')
            continue;
        found->kind = kind;
        found->number = number;
        if (end + 2 < length && strchr("._:", bytes[end + 1]) != NULL)
            found->k = (uint8_t)bytes[end + 2];
        return end + 1;
    }
    return 0;
}

static void tell(enum what what, int fd, const char *bytes, size_t length)
{
    struct record found = {0};
    size_t at = 0;
    uint32_t is_more = 0;
    do {
        found.kind = 0;
        found.k = 0;
        at = find(bytes, length, at, &found);
        if (at == 0 && is_more)
            return;
        struct record *record = note(what, fd);
        if (record == NULL)
            return;
        record->is_more = is_more;
        record->kind = found.kind;
        record->k = found.k;
        record->number = found.number;
        memcpy(record->start, bytes, length < START_BYTES ? length : START_BYTES);
        __atomic_store_n(&record->is_whole, 1, __ATOMIC_RELEASE);
        is_more = 1;
    } while (at != 0);
}

static void tell_vector(enum what what, int fd, const struct iovec *iov, int count, size_t length)
{
    char bytes[LOOK_BYTES];
    size_t used = 0;
    for (int i = 0; i < count && used < length && used < sizeof(bytes); i++) {
        size_t some = iov[i].iov_len < sizeof(bytes) - used ? iov[i].iov_len : sizeof(bytes) - used;
        some = some < length - used ? some : length - used;
        if (some > 0)
            memcpy(bytes + used, iov[i].iov_base, some);
        used += some;
    }
    tell(what, fd, bytes, used);
}

static size_t looked_at(size_t length)
{
    return length < LOOK_BYTES ? length : LOOK_BYTES;
}

#define ORIGINAL(name)                 \
    static __typeof__(&name) original; \
    if (original == NULL)              \
    original = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

static void was_read(int fd, const void *buffer, ssize_t result, int flags)
{
    int saved = errno;
    if (result > 0 && !(flags & MSG_PEEK) && side_of(fd) != NOBODY)
        tell(READ, fd, buffer, looked_at((size_t)result));
    errno = saved;
}

static void is_written(int fd, const void *buffer, size_t length)
{
    if (length > 0 && side_of(fd) != NOBODY)
        tell(WROTE, fd, buffer, looked_at(length));
}

/* What fortified programs call; no header declares them. */
ssize_t __read_chk(int fd, void *buffer, size_t size, size_t room);
ssize_t __recv_chk(int fd, void *buffer, size_t size, size_t room, int flags);

ssize_t read(int fd, void *buffer, size_t size)
{
    ORIGINAL(read);
    ssize_t result = original(fd, buffer, size);
    was_read(fd, buffer, result, 0);
    return result;
}

ssize_t __read_chk(int fd, void *buffer, size_t size, size_t room)
{
    return read(fd, buffer, size < room ? size : room);
}

ssize_t recv(int fd, void *buffer, size_t size, int flags)
{
    ORIGINAL(recv);
    ssize_t result = original(fd, buffer, size, flags);
    was_read(fd, buffer, result, flags);
    return result;
}

ssize_t __recv_chk(int fd, void *buffer, size_t size, size_t room, int flags)
{
    return recv(fd, buffer, size < room ? size : room, flags);
}

ssize_t recvfrom(
    int fd, void *buffer, size_t size, int flags, struct sockaddr *from, socklen_t *length)
{
    ORIGINAL(recvfrom);
    ssize_t result = original(fd, buffer, size, flags, from, length);
    was_read(fd, buffer, result, flags);
    return result;
}

ssize_t readv(int fd, const struct iovec *iov, int count)
{
    ORIGINAL(readv);
    ssize_t result = original(fd, iov, count);
    int saved = errno;
    if (result > 0 && side_of(fd) != NOBODY)
        tell_vector(READ, fd, iov, count, (size_t)result);
    errno = saved;
    return result;
}

ssize_t recvmsg(int fd, struct msghdr *message, int flags)
{
    ORIGINAL(recvmsg);
    ssize_t result = original(fd, message, flags);
    int saved = errno;
    if (result > 0 && !(flags & MSG_PEEK) && side_of(fd) != NOBODY)
        tell_vector(READ, fd, message->msg_iov, (int)message->msg_iovlen, (size_t)result);
    errno = saved;
    return result;
}

ssize_t write(int fd, const void *buffer, size_t size)
{
    ORIGINAL(write);
    is_written(fd, buffer, size);
    return original(fd, buffer, size);
}

ssize_t send(int fd, const void *buffer, size_t size, int flags)
{
    ORIGINAL(send);
    is_written(fd, buffer, size);
    return original(fd, buffer, size, flags);
}

ssize_t sendto(
    int fd, const void *buffer, size_t size, int flags, const struct sockaddr *to, socklen_t length)
{
    ORIGINAL(sendto);
    is_written(fd, buffer, size);
    return original(fd, buffer, size, flags, to, length);
}

ssize_t writev(int fd, const struct iovec *iov, int count)
{
    ORIGINAL(writev);
    if (side_of(fd) != NOBODY)
        tell_vector(WROTE, fd, iov, count, SIZE_MAX);
    return original(fd, iov, count);
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    ORIGINAL(sendmsg);
    if (side_of(fd) != NOBODY)
        tell_vector(WROTE, fd, message->msg_iov, (int)message->msg_iovlen, SIZE_MAX);
    return original(fd, message, flags);
}

static void tell_plain(enum what what, int fd)
{
    int saved = errno;
    struct record *record = log_file == NULL ? NULL : note(what, fd);
    if (record != NULL) {
        memcpy(record->start, program, sizeof(program));
        __atomic_store_n(&record->is_whole, 1, __ATOMIC_RELEASE);
    }
    errno = saved;
}

int socket(int family, int type, int protocol)
{
    ORIGINAL(socket);
    int fd = original(family, type, protocol);
    if (fd >= 0)
        set_side(fd, NOBODY);
    if (fd >= 0 && family == AF_INET && (type & 15) == SOCK_STREAM)
        tell_plain(SOCKET, fd);
    return fd;
}

int connect(int fd, const struct sockaddr *to, socklen_t length)
{
    ORIGINAL(connect);
    if (to != NULL && to->sa_family == AF_INET)
        set_side(fd, CALLS);
    return original(fd, to, length);
}

static void accepted(int listener, int fd)
{
    int saved = errno, family = 0;
    socklen_t length = sizeof(family);
    if (fd >= 0 && getsockopt(listener, SOL_SOCKET, SO_DOMAIN, &family, &length) == 0)
        set_side(fd, family == AF_INET || family == AF_INET6 ? SERVES : NOBODY);
    if (side_of(fd) == SERVES)
        tell_plain(CLOSED, fd); /* whoever had the number before */
    errno = saved;
}

int accept(int listener, struct sockaddr *from, socklen_t *length)
{
    ORIGINAL(accept);
    int fd = original(listener, from, length);
    accepted(listener, fd);
    return fd;
}

int accept4(int listener, struct sockaddr *from, socklen_t *length, int flags)
{
    ORIGINAL(accept4);
    int fd = original(listener, from, length, flags);
    accepted(listener, fd);
    return fd;
}

int close(int fd)
{
    ORIGINAL(close);
    if (side_of(fd) != NOBODY)
        tell_plain(CLOSED, fd);
    set_side(fd, NOBODY);
    return original(fd);
}
