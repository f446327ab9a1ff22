/* SPDX-License-Identifier: Apache-2.0 */
/* The search for originals finds what dlsym(RTLD_NEXT, ...) finds, and stand-ins for the rest.
 * Under the sanitizers the next of some names is the sanitizer's. */
#include <dlfcn.h>
#include <string.h>

#include "hook.h"
#include "tap.h"

#define NAMES(X)                                                                                   \
    X(read)                                                                                        \
    X(write)                                                                                       \
    X(readv)                                                                                       \
    X(recvmsg) X(sendfile64) X(splice) X(epoll_wait) X(poll) X(select) X(fcntl64) X(closefrom)     \
        X(execve) X(posix_spawn) X(posix_spawnp) X(pthread_exit) X(pthread_create)                 \
            X(pthread_key_create) X(pthread_timedjoin_np) X(dlopen) X(fclose)                      \
                X(memcpy) /* an old version beside the default one, and chosen by the processor */ \
        X(environ_that_nobody_has) X(clock_gettime) X(syscall) X(vfork) X(_exit) X(regexec)

__attribute__((used)) static int stand_in(void)
{
    return 42;
}

#define DECLARE(name)      \
    void *original_##name; \
    HOOK_ROW(name, "0");
NAMES(DECLARE)

int (*original_nobody_has_this_one_either)(void);
int (*original_getppid)(void);
HOOK_ROW(nobody_has_this_one_either, "stand_in - .");
HOOK_ROW(getppid, "stand_in - .");

static void check_name(const char *name, const void *found)
{
    void *wanted = dlsym(RTLD_NEXT, name);
    CHECK(found == wanted, "%s: %p, by dlsym %p", name, found, wanted);
}

int main(void)
{
    hooks_resolve();
#define COMPARE(name) check_name(#name, original_##name);
    NAMES(COMPARE)
    CHECK(original_nobody_has_this_one_either == stand_in &&
              original_nobody_has_this_one_either() == 42,
        "what nobody has is stood in for");
    CHECK(original_getppid == dlsym(RTLD_NEXT, "getppid"), "what is there is not");
    original_read = NULL;
    hooks_resolve();
    check_name("read", original_read);
    CHECK(original_nobody_has_this_one_either == stand_in, "asked again, the stand-in stays");
    return tap_done();
}
