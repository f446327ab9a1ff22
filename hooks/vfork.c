/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <sys/types.h>

/* Where vfork.S goes when the kernel refused. */
pid_t vfork_failed(long result) __attribute__((visibility("hidden")));

pid_t vfork_failed(long result)
{
    errno = (int)-result;
    return -1;
}
