/* SPDX-License-Identifier: Apache-2.0 */
#include "environment.h"

#include <stdbool.h>
#include <string.h>

#include "attribution.h"
#include "config.h"
#include "propagation.h"
#include "readable.h"

enum { PRELOAD_BYTES_MAX = 4096 };

static char preload[PRELOAD_BYTES_MAX]; /* "LD_PRELOAD=..."; "": loaded otherwise, or too long */

static bool is_preload(const char *variable)
{
    return strncmp(variable, "LD_PRELOAD=", 11) == 0;
}

bool environment_names_us(char *const *envp)
{
    for (; *envp != NULL; envp++)
        if (is_preload(*envp) && strstr(*envp, "libburdock.so") != NULL)
            return true;
    return false;
}

void environment_start(char *const *envp)
{
    for (; config.follow && *envp != NULL; envp++)
        if (is_preload(*envp) && strlen(*envp) < sizeof(preload))
            memcpy(preload, *envp, strlen(*envp) + 1);
}

static bool names(const char *variable, const char *name)
{
    size_t length = strlen(name);
    return strncmp(variable, name, length) == 0 && variable[length] == '=';
}

/* What the program has put there itself stays, and so does what we were started with where there is
 * nothing better. */
static bool is_traceparent_to_keep(const char *variable)
{
    return names(variable, "TRACEPARENT") &&
           (strcmp(variable + 12, config.traceparent) != 0 ||
               attribution_at_work() == attribution_process_context);
}

/* The state of our own parent's trace says nothing in another one, nor does its baggage. */
static bool is_parents(const char *variable)
{
    return names(variable, "TRACEPARENT") || names(variable, "TRACESTATE") ||
           (names(variable, "BAGGAGE") && strcmp(variable + 8, config.baggage) == 0);
}

static struct slice text_to_pass(const char *text, uint32_t length)
{
    return length <= ENVIRONMENT_TEXT_BYTES_MAX ? (struct slice){text, length} : (struct slice){0};
}

static void put_context(struct following *following)
{
    static const char name[] = "TRACEPARENT=";
    const struct context *context = attribution_at_work();
    following->traceparent[0] = '\0';
    following->tracestate = following->baggage = (struct slice){0};
    if (context == NULL || !(config.propagators & PROPAGATOR_TRACECONTEXT) ||
        !trace_id_is_set(context->ids.trace_id))
        return;
    char *out = following->traceparent;
    memcpy(out, name, sizeof(name) - 1);
    traceparent_format(out + sizeof(name) - 1, &context->ids);
    out[sizeof(name) - 1 + TRACEPARENT_LENGTH] = '\0';
    const char *texts = context_texts(context);
    following->tracestate = text_to_pass(texts, context->tracestate_length);
    if (config.propagators & PROPAGATOR_BAGGAGE)
        following->baggage =
            text_to_pass(texts + context->tracestate_length, context->baggage_length);
}

static size_t to_end_of_page(const void *address)
{
    return READABLE_PAGE_BYTES - (uintptr_t)address % READABLE_PAGE_BYTES;
}

/* Up to its end, which nobody has told. */
static bool is_readable_text(const char *text)
{
    for (; readable(text, 1); text += to_end_of_page(text))
        if (memchr(text, '\0', to_end_of_page(text)) != NULL)
            return true;
    return false;
}

/* Can the variables be read up to the NULL behind them? Else exec answers EFAULT. */
static bool is_readable(char *const *envp)
{
    for (; readable(envp, sizeof(*envp)); envp++)
        if (*envp == NULL)
            return true;
        else if (!is_readable_text(*envp))
            return false;
    return false;
}

struct environment_room environment_room(char *const *envp, struct following *following)
{
    if (!config.follow || (envp != NULL && !is_readable(envp)))
        return (struct environment_room){0};
    put_context(following);
    following->preloads = preload[0] != '\0';
    following->count = 0;
    for (; envp != NULL && envp[following->count] != NULL; following->count++) {
        const char *variable = envp[following->count];
        if (is_preload(variable))
            following->preloads = false;
        if (is_traceparent_to_keep(variable))
            following->traceparent[0] = '\0';
        if (names(variable, "BAGGAGE") && !is_parents(variable)) /* the program's own */
            following->baggage.length = 0;
    }
    bool replaces = following->traceparent[0] != '\0';
    if (!replaces && !following->preloads)
        return (struct environment_room){0};
    size_t names_bytes = sizeof("TRACESTATE=") + sizeof("BAGGAGE=");
    return (struct environment_room){following->count + 5,
        replaces ? names_bytes + following->tracestate.length + following->baggage.length : 0};
}

/* "NAME=text" at *texts, which moves behind it; nothing if there is no text. */
static void add_text(char **out, size_t *count, char **texts, const char *name, struct slice text)
{
    size_t length = strlen(name);
    if (text.length == 0)
        return;
    out[(*count)++] = *texts;
    memcpy(*texts, name, length);
    memcpy(*texts + length, text.data, text.length);
    *texts += length + text.length;
    *(*texts)++ = '\0';
}

char *const *environment_follow(
    char *const *envp, struct following *following, char **out, char *texts)
{
    bool replaces = following->traceparent[0] != '\0';
    size_t kept = 0;
    for (size_t i = 0; i < following->count; i++)
        if (!replaces || !is_parents(envp[i]))
            out[kept++] = envp[i];
    if (replaces) {
        out[kept++] = following->traceparent;
        add_text(out, &kept, &texts, "TRACESTATE=", following->tracestate);
        add_text(out, &kept, &texts, "BAGGAGE=", following->baggage);
    }
    if (following->preloads)
        out[kept++] = preload;
    out[kept] = NULL;
    return out;
}
