/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What waits in uvloop's transports. Each thread has a list of it: for connections that the program
 * has made, how many bytes each request has put there. When the loop writes to one, the first
 * entries of that connection say whose the bytes are. What cannot be reckoned is nobody's, and so
 * is all that comes after it on that connection.
 *
 * Writes happen with the interpreter's lock held or in the loop itself, when no callback runs.
 */
#include "uvloop.h"

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "bind.h"
#include "carrier.h"
#include "hook.h"
#include "memory.h"
#include "python.h"

enum { ENTRIES_MAX = 1024, PARTS_MAX = 256 };

struct entry {
    uint64_t connection; /* carrier_calls_by */
    size_t bytes;        /* SIZE_MAX: all that comes */
    uint32_t handle;     /* held */
    int fd;
    bool is_certain;
};

struct waiting {
    uint32_t count;
    bool is_over;
    struct entry entries[ENTRIES_MAX];
    struct carrier_part parts[PARTS_MAX + 1];
};

static __thread struct waiting *waiting;

/* --- the list --------------------------------------------------------------------------------- */

/* Keeps the entries for which `stays` holds. */
static void sift(bool (*stays)(const struct entry *entry))
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < waiting->count; i++)
        if (stays(&waiting->entries[i]))
            waiting->entries[kept++] = waiting->entries[i];
        else
            carrier_drop(waiting->entries[i].handle);
    waiting->count = kept;
}

static bool is_due(const struct entry *entry)
{
    return entry->bytes != 0 && carrier_calls_by(entry->fd) == entry->connection;
}

static bool is_nobody(const struct entry *entry)
{
    return false;
}

static bool is_left(const struct entry *entry)
{
    return entry->bytes != 0;
}

static struct entry *last_of(uint64_t connection)
{
    for (uint32_t i = waiting->count; i-- > 0;)
        if (waiting->entries[i].connection == connection)
            return &waiting->entries[i];
    return NULL;
}

/* So many never wait: what this thread's transports send is nobody's from here on. */
static void give_up(void)
{
    sift(is_nobody);
    waiting->is_over = true;
}

static void add(int fd, uint64_t connection, size_t bytes)
{
    struct carrier_view view = carrier_look();
    struct entry *last = last_of(connection);
    if (last != NULL && last->bytes == SIZE_MAX)
        return;
    if (last != NULL && last->handle == view.handle && bytes != SIZE_MAX) {
        last->bytes += bytes;
        return;
    }
    if (waiting->count == ENTRIES_MAX)
        sift(is_due);
    if (waiting->count == ENTRIES_MAX)
        give_up();
    else
        waiting->entries[waiting->count++] = (struct entry){connection, bytes,
            bytes == SIZE_MAX ? CARRIER_NONE : carrier_take(), fd, view.is_certain};
}

/* --- what the program puts -------------------------------------------------------------------- */

static long number_of(struct py_object *object, const char *name)
{
    struct py_object *found = py.PyObject_GetAttrString(object, name);
    long number = found == NULL ? -1 : py.PyLong_AsLong(found);
    if (found != NULL)
        py.Py_DecRef(found);
    return number;
}

static struct py_object *type_of(struct py_object *object)
{
    return ((struct python_head *)object)->type;
}

/* SIZE_MAX: not known. Nothing of the program's own is asked. */
static size_t bytes_of(struct py_object *data)
{
    static struct py_object *bytes_type, *array_type, *view_type;
    if (view_type == NULL) {
        struct py_object *bytes = py.Py_BuildValue("y", "");
        bytes_type = type_of(bytes);
        array_type = tasks_attribute("builtins", "bytearray");
        view_type = tasks_attribute("builtins", "memoryview");
    }
    struct py_object *type = type_of(data);
    long bytes = -1;
    if (type == bytes_type || type == array_type)
        bytes = py.PyObject_Size(data);
    else if (type == view_type)
        bytes = number_of(data, "nbytes");
    return bytes < 0 ? SIZE_MAX : (size_t)bytes;
}

static size_t bytes_in(struct py_object *list)
{
    static struct py_object *list_type, *tuple_type;
    if (tuple_type == NULL) {
        list_type = tasks_attribute("builtins", "list");
        tuple_type = tasks_attribute("builtins", "tuple");
    }
    if (type_of(list) != list_type && type_of(list) != tuple_type)
        return SIZE_MAX;
    size_t total = 0;
    for (long i = 0; i < py.PyObject_Size(list) && total != SIZE_MAX; i++) {
        struct py_object *item = py.PySequence_GetItem(list, i);
        size_t bytes = item == NULL ? SIZE_MAX : bytes_of(item);
        total = bytes == SIZE_MAX ? bytes : total + bytes;
        if (item != NULL)
            py.Py_DecRef(item);
    }
    return total;
}

/* Its `socket` is an object of uvloop's own, which opens nothing. */
static int descriptor_of(struct py_object *transport)
{
    struct py_object *arguments = py.Py_BuildValue("(s)", "socket");
    struct py_object *ask = py.PyObject_GetAttrString(transport, "get_extra_info");
    struct py_object *socket = ask == NULL ? NULL : py.PyObject_CallObject(ask, arguments);
    struct py_object *tell = socket == NULL ? NULL : py.PyObject_GetAttrString(socket, "fileno");
    struct py_object *number = tell == NULL ? NULL : py.PyObject_CallObject(tell, NULL);
    long fd = number == NULL ? -1 : py.PyLong_AsLong(number);
    struct py_object *made[] = {arguments, ask, socket, tell, number};
    for (size_t i = 0; i < sizeof(made) / sizeof(made[0]); i++)
        if (made[i] != NULL)
            py.Py_DecRef(made[i]);
    return (int)fd;
}

void writes_put(struct py_object *transport, struct py_object *data, bool is_list)
{
    int fd = descriptor_of(transport);
    py.PyErr_Clear();
    uint64_t connection = fd < 0 ? 0 : carrier_calls_by(fd);
    if (connection == 0)
        return;
    if (waiting == NULL && (waiting = memory_map(sizeof(*waiting))) == NULL)
        return;
    if (waiting->is_over)
        return;
    size_t bytes = is_list ? bytes_in(data) : bytes_of(data);
    py.PyErr_Clear();
    current_tell();
    if (bytes != 0)
        add(fd, connection, bytes);
}

/* --- the loop writes -------------------------------------------------------------------------- */

static uint32_t parts_of(int fd)
{
    uint32_t count = 0;
    size_t end = 0;
    for (uint32_t i = 0; i < waiting->count && count < PARTS_MAX; i++) {
        const struct entry *entry = &waiting->entries[i];
        if (entry->fd != fd)
            continue;
        end = entry->bytes == SIZE_MAX ? SIZE_MAX : end + entry->bytes;
        waiting->parts[count++] = (struct carrier_part){end, entry->handle, entry->is_certain};
    }
    waiting->parts[count] = (struct carrier_part){SIZE_MAX, CARRIER_NONE, false};
    return count;
}

static const struct entry *first_of(int fd)
{
    for (uint32_t i = 0; i < waiting->count; i++)
        if (waiting->entries[i].fd == fd)
            return &waiting->entries[i];
    return NULL;
}

/* False: nothing waits for this descriptor. */
static bool begin(int fd)
{
    const struct entry *first = waiting == NULL ? NULL : first_of(fd);
    if (first == NULL)
        return false;
    if (!is_due(first)) {
        sift(is_due); /* of connections that had this number, and are closed */
        first = first_of(fd);
    }
    if (first == NULL)
        return false;
    carrier_enter(first->handle, first->is_certain);
    if (parts_of(fd) > 1)
        carrier_parts(waiting->parts);
    return true;
}

/* Leaves errno as it is. */
static void end(int fd, ssize_t result)
{
    int saved_errno = errno;
    size_t gone = result < 0 ? 0 : (size_t)result;
    carrier_parted();
    for (uint32_t i = 0; i < waiting->count && gone > 0; i++) {
        struct entry *entry = &waiting->entries[i];
        size_t taken = entry->fd != fd ? 0 : entry->bytes < gone ? entry->bytes : gone;
        entry->bytes -= entry->bytes == SIZE_MAX ? 0 : taken;
        gone -= taken;
    }
    sift(is_left);
    if (current_context != NULL && python_is_ours())
        current_tell();
    else
        carrier_enter(CARRIER_NONE, false);
    errno = saved_errno;
}

static ssize_t (*write_on)(int fd, const void *data, size_t bytes);
static ssize_t (*writev_on)(int fd, const struct iovec *iov, int count);
static ssize_t (*sendmsg_on)(int fd, const struct msghdr *message, int flags);

static ssize_t our_write(int fd, const void *data, size_t bytes)
{
    bool is_known = begin(fd);
    ssize_t result = write_on(fd, data, bytes);
    if (is_known)
        end(fd, result);
    return result;
}

static ssize_t our_writev(int fd, const struct iovec *iov, int count)
{
    bool is_known = begin(fd);
    ssize_t result = writev_on(fd, iov, count);
    if (is_known)
        end(fd, result);
    return result;
}

static ssize_t our_sendmsg(int fd, const struct msghdr *message, int flags)
{
    bool is_known = begin(fd);
    ssize_t result = sendmsg_on(fd, message, flags);
    if (is_known)
        end(fd, result);
    return result;
}

bool writes_bind(const char *path)
{
    write_on = hooks_own("write");
    writev_on = hooks_own("writev");
    sendmsg_on = hooks_own("sendmsg");
    const struct bind_row rows[] = {{"write", write_on, our_write},
        {"writev", writev_on, our_writev}, {"sendmsg", sendmsg_on, our_sendmsg}};
    if (write_on == NULL || writev_on == NULL || sendmsg_on == NULL)
        return false;
    /* uvloop writes by itself; libuv, which may be a part of it, writes the rest. */
    return hooks_bind(path, rows, 3) + hooks_bind("/libuv.so.1", rows, 3) >= 3;
}
