/* SPDX-License-Identifier: Apache-2.0 */
/* A command of Beanstalkd, or a job, as a span. There are no conventions of its own. */
#include "beanstalkd.h"

static const char *operation_of(const struct facts *facts)
{
    struct fact code = facts->texts[FIELD_CODE];
    switch (facts->numbers[FIELD_VERSION]) {
    case MESSAGE_SEND:
        return "put";
    case MESSAGE_RECEIVE:
        return "reserve";
    case MESSAGE_PROCESS:
        return "process";
    default:
        return code.length == 4 ? "bury" : code.length == 7 ? "release" : "delete";
    }
}

static struct fact error_of(int64_t answer)
{
    static const struct fact names[] = {
        [ANSWER_BURIED] = {(const uint8_t *)"BURIED", 6},
        [ANSWER_EXPECTED_CRLF] = {(const uint8_t *)"EXPECTED_CRLF", 13},
        [ANSWER_JOB_TOO_BIG] = {(const uint8_t *)"JOB_TOO_BIG", 11},
        [ANSWER_DRAINING] = {(const uint8_t *)"DRAINING", 8},
        [ANSWER_OUT_OF_MEMORY] = {(const uint8_t *)"OUT_OF_MEMORY", 13},
        [ANSWER_INTERNAL_ERROR] = {(const uint8_t *)"INTERNAL_ERROR", 14},
        [ANSWER_BAD_FORMAT] = {(const uint8_t *)"BAD_FORMAT", 10},
        [ANSWER_UNKNOWN_COMMAND] = {(const uint8_t *)"UNKNOWN_COMMAND", 15},
    };
    bool is_known = answer > ANSWER_EXPECTED && answer < ANSWER_INSERTED;
    return is_known ? names[answer] : (struct fact){0};
}

void beanstalkd_describe(const struct facts *facts, struct describer *out)
{
    static const struct fact default_tube = {(const uint8_t *)"default", 7};
    struct messaging messaging = {.system = "beanstalkd",
        .type = facts->numbers[FIELD_VERSION],
        .operation = operation_of(facts),
        .destination = facts->texts[FIELD_DESTINATION],
        .error = error_of(facts->numbers[FIELD_STATUS])};
    if (messaging.destination.length == 0 && facts->numbers[FIELD_ROWS] == BEANSTALKD_DEFAULT_TUBE)
        messaging.destination = default_tube;
    messaging_describe(facts, out, &messaging);
}
