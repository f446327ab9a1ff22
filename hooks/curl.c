/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libcurl's multi interface (7.16 on): what an event loop gives it, and when that has its turn.
 * What is sent inside a turn, also inside TLS, and what follows after one is taken that is
 * finished, is of the request that gave the transfer. Handles are only looked at by
 * curl_easy_getinfo.
 *
 * libcurl's own calls of these functions, of which curl_easy_perform is made, are of whoever calls
 * that.
 */
#include "foreign.h"
#include "transfers.h"

enum {
    MESSAGE_DONE = 1,
    INFO_EFFECTIVE_URL = 0x100000 + 1,
    INFO_REQUEST_SIZE = 0x200000 + 12,
    INFO_LOCAL_PORT = 0x200000 + 42,
    CODE_OK = 0
};

/* The beginning of a CURLMsg. */
struct message {
    int kind;
    void *transfer;
};

#define FUNCTIONS(X)                                            \
    X(int, curl_multi_add_handle, (void *, void *))             \
    X(int, curl_multi_remove_handle, (void *, void *))          \
    X(int, curl_multi_perform, (void *, int *))                 \
    X(int, curl_multi_socket_action, (void *, int, int, int *)) \
    X(struct message *, curl_multi_info_read, (void *, int *))  \
    X(int, curl_multi_cleanup, (void *))                        \
    X(void, curl_easy_cleanup, (void *))                        \
    X(int, curl_easy_getinfo, (void *, int, ...))

FOREIGN_LIBRARY(curl, FUNCTIONS);

static const char *url_of(const void *functions, const void *transfer)
{
    const struct curl *curl = functions;
    char *url = NULL;
    bool is_known = FOREIGN_HAS(curl, curl_easy_getinfo) &&
                    curl->curl_easy_getinfo((void *)transfer, INFO_EFFECTIVE_URL, &url) == CODE_OK;
    return is_known ? url : NULL;
}

static long number_of(const struct curl *curl, const void *transfer, int info)
{
    long number = -1;
    bool is_known = FOREIGN_HAS(curl, curl_easy_getinfo) &&
                    curl->curl_easy_getinfo((void *)transfer, info, &number) == CODE_OK;
    return is_known ? number : -1;
}

/* The port is known once it has a connection, new or used before. */
static bool is_ready(const void *functions, const void *transfer)
{
    return number_of(functions, transfer, INFO_REQUEST_SIZE) == 0 &&
           number_of(functions, transfer, INFO_LOCAL_PORT) > 0;
}

static const struct transfers_library library = {url_of, is_ready};

HOOK_FOREIGN(int, curl_multi_add_handle, (void *multi, void *transfer))
{
    FOREIGN(curl);
    if (curl->own != NULL)
        return curl->curl_multi_add_handle(multi, transfer);
    transfers_give(multi, transfer);
    int result = curl->curl_multi_add_handle(multi, transfer);
    if (result != CODE_OK)
        transfers_take(transfer);
    return result;
}

HOOK_FOREIGN(int, curl_multi_remove_handle, (void *multi, void *transfer))
{
    FOREIGN(curl);
    int result = curl->curl_multi_remove_handle(multi, transfer);
    if (result == CODE_OK)
        transfers_take(transfer);
    return result;
}

HOOK_FOREIGN(int, curl_multi_cleanup, (void *multi))
{
    FOREIGN(curl);
    transfers_forget(multi);
    return curl->curl_multi_cleanup(multi);
}

HOOK_FOREIGN(void, curl_easy_cleanup, (void *transfer))
{
    FOREIGN(curl);
    transfers_take(transfer);
    curl->curl_easy_cleanup(transfer);
}

/* --- its turn -----------------------------------------------------------------------------------
 */

#define TURN(outer, group)                                \
    struct transfers_outer outer;                         \
    bool is_followed =                                    \
        curl->own == NULL &&                              \
        transfers_begin(&outer, &(struct transfers_turn){ \
                                    (uintptr_t)__builtin_frame_address(0), group, &library, curl})

static int turned(const struct transfers_outer *outer, bool is_followed, int result)
{
    if (is_followed)
        transfers_end(outer);
    return result;
}

HOOK_FOREIGN(int, curl_multi_perform, (void *multi, int *running))
{
    FOREIGN(curl);
    TURN(outer, multi);
    return turned(&outer, is_followed, curl->curl_multi_perform(multi, running));
}

HOOK_FOREIGN(int, curl_multi_socket_action, (void *multi, int fd, int events, int *running))
{
    FOREIGN(curl);
    TURN(outer, multi);
    return turned(&outer, is_followed, curl->curl_multi_socket_action(multi, fd, events, running));
}

HOOK_FOREIGN(struct message *, curl_multi_info_read, (void *multi, int *left))
{
    FOREIGN(curl);
    transfers_next(multi);
    struct message *message = curl->curl_multi_info_read(multi, left);
    if (message != NULL && message->kind == MESSAGE_DONE)
        transfers_finished(multi, message->transfer);
    return message;
}

/* As Debian has them; others have none. */
#define VERSIONS(name)                       \
    FOREIGN_VERSION(name, "CURL_OPENSSL_4"); \
    FOREIGN_VERSION(name, "CURL_OPENSSL_3"); \
    FOREIGN_VERSION(name, "CURL_GNUTLS_3");  \
    FOREIGN_VERSION(name, "CURL_NSS_3");     \
    FOREIGN_UNVERSIONED(name)

VERSIONS(curl_multi_add_handle);
VERSIONS(curl_multi_remove_handle);
VERSIONS(curl_multi_perform);
VERSIONS(curl_multi_socket_action);
VERSIONS(curl_multi_info_read);
VERSIONS(curl_multi_cleanup);
VERSIONS(curl_easy_cleanup);
