/* SPDX-License-Identifier: Apache-2.0 */
/* The doctor on a command: would the dynamic linker load a library into it at all? */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "cli.h"
#include "elf_facts.h"
#include "findings.h"

enum { INTERPRETER_DEPTH_MAX = 4 };

static bool executable(const char *path)
{
    struct stat facts;
    return stat(path, &facts) == 0 && S_ISREG(facts.st_mode) && access(path, X_OK) == 0;
}

/* As execvp would; NULL: not found. Free the result. */
static char *find_in_path(const char *command)
{
    if (strchr(command, '/'))
        return executable(command) ? duplicate(command) : NULL;
    const char *path = getenv("PATH");
    char *places = duplicate(path ? path : "/bin:/usr/bin"), *rest = places, *place;
    char *found = NULL;
    while (!found && (place = strsep(&rest, ":"))) {
        found = format_text("%s/%s", *place ? place : ".", command);
        if (!executable(found)) {
            free(found);
            found = NULL;
        }
    }
    free(places);
    return found;
}

/* The kernel marks such a process secure, and the dynamic linker then ignores LD_PRELOAD. */
static void check_privileges(struct findings *findings, const char *path)
{
    static const char fix[] = "start it as the user it needs, without the extra rights";
    struct stat facts;
    if (stat(path, &facts) != 0)
        return;
    if (facts.st_mode & S_ISUID)
        finding_add(
            findings, FINDING_FAIL, format_text("%s is setuid: LD_PRELOAD is ignored", path), fix);
    else if (facts.st_mode & S_ISGID && facts.st_mode & S_IXGRP)
        finding_add(
            findings, FINDING_FAIL, format_text("%s is setgid: LD_PRELOAD is ignored", path), fix);
    if (getxattr(path, "security.capability", NULL, 0) > 0)
        finding_add(findings, FINDING_FAIL,
            format_text("%s has file capabilities: LD_PRELOAD is ignored", path), fix);
}

static void check_linkage(
    struct findings *findings, const char *path, const struct elf_facts *facts)
{
    if (facts->foreign)
        finding_add(findings, FINDING_FAIL,
            format_text("%s is built for another architecture or word size", path),
            "install the build for that architecture");
    else if (facts->damaged)
        finding_add(findings, FINDING_FAIL, format_text("%s is damaged", path), "reinstall it");
    else if (!*facts->interpreter)
        finding_add(findings, FINDING_FAIL,
            format_text("%s is statically linked: no library can be loaded into it", path),
            "link it dynamically, or trace its callers");
    else if (strstr(facts->interpreter, "ld-musl"))
        finding_add(findings, FINDING_FAIL,
            format_text("%s uses musl (%s), this build is for glibc", path, facts->interpreter),
            "use the musl build of the library");
    else
        finding_add(findings, FINDING_OK,
            format_text("%s is dynamically linked (%s)", path, facts->interpreter), NULL);
}

static void check_elf(struct findings *findings, const char *path, const struct elf_facts *facts)
{
    check_linkage(findings, path, facts);
    if (facts->go)
        finding_add(findings, FINDING_FAIL,
            format_text("%s is a Go program: Go does not use libc, its calls are not seen", path),
            "use OpenTelemetry's Go instrumentation, or trace its callers");
    if (facts->inner_tls)
        finding_add(findings, FINDING_WARN,
            format_text("%s seems to contain %s: its encrypted traffic is not understood", path,
                facts->inner_tls),
            "link the TLS library dynamically if that traffic matters");
}

/* "#!/usr/bin/env python3": env becomes python3, which is the program people mean. */
static bool is_env(const struct elf_facts *facts)
{
    const char *slash = strrchr(facts->interpreter, '/');
    return slash && strcmp(slash, "/env") == 0 && *facts->argument && *facts->argument != '-';
}

static void check_script(
    struct findings *findings, const char *path, const struct elf_facts *facts, int depth)
{
    if (depth == INTERPRETER_DEPTH_MAX || !*facts->interpreter) {
        finding_add(findings, FINDING_FAIL, format_text("%s: no usable interpreter line", path),
            "correct its first line");
        return;
    }
    finding_add(
        findings, FINDING_OK, format_text("%s is a script for %s", path, facts->interpreter), NULL);
    if (is_env(facts))
        doctor_command(findings, facts->argument);
    else if (access(facts->interpreter, X_OK) == 0)
        doctor_file(findings, facts->interpreter, depth + 1);
    else
        finding_add(findings, FINDING_FAIL,
            format_text("interpreter %s is not there", facts->interpreter), "install it");
}

void doctor_file(struct findings *findings, const char *path, int depth)
{
    struct elf_facts facts;
    elf_facts_read(path, &facts);
    switch (facts.kind) {
    case FILE_UNREADABLE:
        finding_add(findings, FINDING_WARN,
            format_text("%s cannot be examined: %s", path, strerror(facts.error)),
            "run the doctor as a user who may read it");
        break;
    case FILE_OTHER:
        finding_add(findings, FINDING_WARN,
            format_text("%s is neither an ELF file nor a script with an interpreter line", path),
            "start it through its interpreter");
        break;
    case FILE_SCRIPT:
        check_script(findings, path, &facts, depth);
        return; /* the rights of a script file have no effect */
    case FILE_ELF:
        check_elf(findings, path, &facts);
        break;
    }
    check_privileges(findings, path);
}

void doctor_command(struct findings *findings, const char *command)
{
    char *path = find_in_path(command);
    if (!path) {
        finding_add(findings, FINDING_FAIL, format_text("%s: command not found", command),
            "check the name and PATH");
        return;
    }
    doctor_file(findings, path, 0);
    free(path);
}
