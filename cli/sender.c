/* SPDX-License-Identifier: Apache-2.0 */
#include "sender.h"

#include <stdlib.h>
#include <time.h>

#include "cli.h"

enum {
    ATTEMPTS_MAX = 5,
    PAUSE_FIRST_MS = 250,
    PAUSE_MAX_MS = 30000,
    POST_TIMEOUT_DEFAULT_MS = 10000
};

void sender_open(struct sender *sender, const struct config *settings)
{
    *sender = (struct sender){.settings = settings};
    sender->scratch = allocate(OTLP_HTTP_SCRATCH_BYTES);
    otlp_http_init(&sender->http, sender->scratch, OTLP_HTTP_SCRATCH_BYTES);
}

void sender_close(struct sender *sender)
{
    otlp_http_close(&sender->http);
    free(sender->scratch);
}

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static void pause_ms(uint32_t ms)
{
    struct timespec left = {ms / 1000, (long)(ms % 1000) * 1000000};
    while (nanosleep(&left, &left) != 0)
        ;
}

static uint32_t pause_for(const struct otlp_answer *answer, unsigned attempt)
{
    uint32_t wanted = answer->retry_after_ms;
    if (wanted == 0)
        wanted = (uint32_t)PAUSE_FIRST_MS << attempt;
    return wanted < PAUSE_MAX_MS ? wanted : PAUSE_MAX_MS;
}

static void post(
    struct sender *sender, const uint8_t *body, size_t length, struct otlp_answer *answer)
{
    static const uint64_t never_stop;
    uint64_t timeout_ms = sender->settings->signals[SIGNAL_TRACES].timeout_ms;
    uint64_t bound_ms = timeout_ms ? timeout_ms : POST_TIMEOUT_DEFAULT_MS;
    struct otlp_target target = otlp_target_of(sender->settings, SIGNAL_TRACES);
    otlp_http_post(
        &sender->http, &target, body, length, now_ns() + bound_ms * 1000000, &never_stop, answer);
}

/* These refuse what is in this request; any other refusal would meet the next one too. */
static bool is_about_this_request(const struct otlp_answer *answer)
{
    return answer->outcome == OTLP_REFUSED && (answer->status == 400 || answer->status == 413);
}

static void note_accepted(struct sender *sender, const struct otlp_answer *answer, size_t spans)
{
    uint64_t rejected = answer->rejected > 0 ? (uint64_t)answer->rejected : 0;
    if (rejected > spans)
        rejected = spans;
    if (rejected)
        sender->last_rejection = *answer;
    sender->requests++;
    sender->rejected += rejected;
    sender->spans += spans - rejected;
}

bool sender_send(struct sender *sender, const uint8_t *body, size_t length, size_t spans)
{
    struct otlp_answer answer;
    for (unsigned attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
        post(sender, body, length, &answer);
        if (answer.outcome == OTLP_ACCEPTED) {
            note_accepted(sender, &answer, spans);
            return true;
        }
        if (answer.outcome == OTLP_REFUSED)
            break;
        if (attempt + 1 < ATTEMPTS_MAX)
            pause_ms(pause_for(&answer, attempt));
    }
    sender->failed++;
    sender->last_failure = answer;
    return is_about_this_request(&answer);
}
