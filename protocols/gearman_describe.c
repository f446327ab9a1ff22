/* SPDX-License-Identifier: Apache-2.0 */
/* A job of Gearman as a span. There are no conventions of its own. */
#include "gearman.h"

static const char *operation_of(const struct facts *facts)
{
    struct fact code = facts->texts[FIELD_CODE];
    switch (facts->numbers[FIELD_VERSION]) {
    case MESSAGE_SEND:
        return "submit";
    case MESSAGE_PROCESS:
        return "process";
    default:
        return code.length == 0 ? "complete" : code.length == 9 ? "fail" : "exception";
    }
}

static struct fact error_of(int64_t type)
{
    static const struct fact fail = {(const uint8_t *)"WORK_FAIL", 9};
    static const struct fact exception = {(const uint8_t *)"WORK_EXCEPTION", 14};
    return type == GEARMAN_WORK_FAIL        ? fail
           : type == GEARMAN_WORK_EXCEPTION ? exception
                                            : (struct fact){0};
}

void gearman_describe(const struct facts *facts, struct describer *out)
{
    struct messaging messaging = {.system = "gearman",
        .type = facts->numbers[FIELD_VERSION],
        .operation = operation_of(facts),
        .destination = facts->texts[FIELD_DESTINATION],
        .error = error_of(facts->numbers[FIELD_STATUS])};
    messaging_describe(facts, out, &messaging);
}
