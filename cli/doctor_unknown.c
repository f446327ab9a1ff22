/* SPDX-License-Identifier: Apache-2.0 */
/* Variables that are set and that nobody here reads: misspelt ones, and those of SDKs that mean
 * nothing to us. */
#include <string.h>

#include "cli.h"
#include "findings.h"

extern char **environ;

/* By whose name it can only be meant for who traces. Others of OTEL_* are an SDK's own. */
static const char *const beginnings[] = {"BURDOCK_", "OTEL_TRACES_", "OTEL_METRICS_", "OTEL_LOGS_",
    "OTEL_METRIC_EXPORT_", "OTEL_EXPORTER_", "OTEL_BSP_", "OTEL_BLRP_", "OTEL_ATTRIBUTE_",
    "OTEL_SPAN_", "OTEL_EVENT_", "OTEL_LINK_", "OTEL_LOGRECORD_", "OTEL_ENTITIES", "OTEL_LOG_LEVEL",
    "OTEL_PROPAGATOR", "OTEL_SERVICE_", "OTEL_SDK_", "OTEL_EXPERIMENTAL_CONFIG_FILE",
    "OTEL_CONFIG"};

static const char *const known[] = {
#define VARIABLE(name, parser, target, secure, what) name,
#include "variables.def"
#undef VARIABLE
    "BURDOCK_LIBRARY"};

static bool is_meant(const char *name, size_t length)
{
    for (size_t i = 0; i < sizeof(beginnings) / sizeof(beginnings[0]); i++)
        if (length >= strlen(beginnings[i]) &&
            strncmp(name, beginnings[i], strlen(beginnings[i])) == 0)
            return true;
    return false;
}

static bool is_known(const char *name, size_t length)
{
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (strlen(known[i]) == length && strncmp(name, known[i], length) == 0)
            return true;
    return false;
}

void doctor_unknown(struct findings *findings, const char *variable)
{
    size_t length = strcspn(variable, "=");
    if (variable[length] == '\0' || variable[length + 1] == '\0') /* empty: not set */
        return;
    if (is_meant(variable, length) && !is_known(variable, length))
        finding_add(findings, FINDING_WARN,
            format_text("%.*s has no effect: Burdock has no such setting", (int)length, variable),
            "correct or unset it");
}

void doctor_unknown_here(struct findings *findings)
{
    for (char **variable = environ; *variable; variable++)
        doctor_unknown(findings, *variable);
}
