/* SPDX-License-Identifier: Apache-2.0 */
#include "findings.h"

#include <stdio.h>
#include <stdlib.h>

#include "cli.h"
#include "terminal.h"

static const char *const names[] = {"ok", "warn", "fail"};

void finding_add(struct findings *findings, enum finding finding, char *what, const char *fix)
{
    char *safe = terminal_copy(what);
    findings->count[finding]++;
    printf("%-4s  %s", names[finding], safe);
    if (fix)
        printf("  fix: %s", fix);
    putchar('\n');
    fflush(stdout);
    free(safe);
    free(what);
}

int findings_close(const struct findings *findings)
{
    unsigned fails = findings->count[FINDING_FAIL], warnings = findings->count[FINDING_WARN];
    printf("%u problem%s, %u warning%s\n", fails, fails == 1 ? "" : "s", warnings,
        warnings == 1 ? "" : "s");
    return fails ? STATUS_FAILED : STATUS_OK;
}
