/* SPDX-License-Identifier: Apache-2.0 */
/* burdock doctor: why is there no trace? */
#include <ctype.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "config_file.h"
#include "findings.h"

static bool is_number(const char *text)
{
    size_t length = strspn(text, "0123456789");
    return length > 0 && text[length] == 0 && length < 10;
}

int verb_doctor(int argc, char **argv)
{
    static const struct option table[] = {{0}};
    if (getopt_long(argc, argv, "+:", table, NULL) != -1)
        return complain_option("doctor", argv);
    bool explicit_command = optind > 1 && strcmp(argv[optind - 1], "--") == 0;
    struct findings findings = {0};
    config_file_apply(true);
    if (optind < argc && !explicit_command && is_number(argv[optind])) {
        if (optind + 1 < argc) {
            complain("doctor", "one process at a time", "burdock doctor PID");
            return STATUS_USAGE;
        }
        doctor_process(&findings, atoi(argv[optind]));
        return findings_close(&findings);
    }
    if (explicit_command && optind == argc) {
        complain("doctor", "no command given", "burdock doctor -- COMMAND");
        return STATUS_USAGE;
    }
    doctor_installation(&findings);
    doctor_settings(&findings);
    if (optind < argc)
        doctor_command(&findings, argv[optind]);
    return findings_close(&findings);
}
