/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages for syslog(3), when BURDOCK_LOGS names it. The C library sends them by itself: the
 * message is put together here as it would be there, and given to the original as a whole. What
 * could come out otherwise (%n, positions) or is long goes to the original untouched.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <syslog.h>

#include "counters.h"
#include "hook.h"
#include "logs_stdio.h"

/* Fortified forms, which headers declare only to who is compiled so. */
extern void __syslog_chk(int priority, int flag, const char *format, ...);
extern void __vsyslog_chk(int priority, int flag, const char *format, va_list arguments);

/* The message with ours. False: it is to go as it is. */
static bool has_joined(
    int priority, const char *format, va_list arguments, char text[LOGS_MESSAGE_MAX])
{
    int saved_errno = errno; /* of %m, for the original too */
    va_list copy;
    if (format == NULL || !(setlogmask(0) & LOG_MASK(LOG_PRI(priority)))) /* nobody hears it */
        return false;
    if (!logs_is_simple(format)) {
        if (config.records_logs)
            counter_add(COUNTER_LOGS_DROPPED_UNSEEN, 1);
        return false;
    }
    va_copy(copy, arguments);
    int length = vsnprintf(text, LOGS_MESSAGE_MAX, format, copy);
    va_end(copy);
    errno = saved_errno;
    return length > 0 && logs_join_message(text, (size_t)length, LOG_PRI(priority));
}

enum { UNFORTIFIED = -1 }; /* for the flag */

__attribute__((format(printf, 3, 0))) static void send_message(
    int priority, int flag, const char *format, va_list arguments);

HOOK(void, vsyslog, (int priority, const char *format, va_list arguments))
{
    send_message(priority, UNFORTIFIED, format, arguments);
}

HOOK(void, __vsyslog_chk, (int priority, int flag, const char *format, va_list arguments))
{
    send_message(priority, flag, format, arguments);
}

HOOK(void, syslog, (int priority, const char *format, ...))
{
    va_list arguments;
    va_start(arguments, format);
    send_message(priority, UNFORTIFIED, format, arguments);
    va_end(arguments);
}

HOOK(void, __syslog_chk, (int priority, int flag, const char *format, ...))
{
    va_list arguments;
    va_start(arguments, format);
    send_message(priority, flag, format, arguments);
    va_end(arguments);
}

/* Their stack is not for who did not ask. */
__attribute__((noinline, format(printf, 2, 0))) static bool sent_joined(
    int priority, const char *format, va_list arguments)
{
    char text[LOGS_MESSAGE_MAX];
    if (!has_joined(priority, format, arguments, text))
        return false;
    ORIGINAL(syslog)(priority, "%s", text);
    return true;
}

static void send_message(int priority, int flag, const char *format, va_list arguments)
{
    if (__builtin_expect(config.joins_syslog, 0) && sent_joined(priority, format, arguments))
        return;
    if (flag == UNFORTIFIED)
        ORIGINAL(vsyslog)(priority, format, arguments);
    else
        ORIGINAL(__vsyslog_chk)(priority, flag, format, arguments);
}
