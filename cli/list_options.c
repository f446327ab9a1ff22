/* SPDX-License-Identifier: Apache-2.0 */
#include "list_options.h"

#include <getopt.h>
#include <stdlib.h>

enum { LIMIT_DEFAULT = 20 };

static bool limit_parse(const char *text, long *limit)
{
    char *end;
    *limit = strtol(text, &end, 10);
    return *end == 0 && end != text && *limit > 0;
}

bool list_options_parse(int argc, char **argv, struct list_options *options)
{
    enum { OPTION_COLOUR = 256 };
    static const struct option table[] = {{"errors", no_argument, NULL, 'e'},
        {"service", required_argument, NULL, 's'}, {"json", no_argument, NULL, 'j'},
        {"number", required_argument, NULL, 'n'}, {"color", required_argument, NULL, OPTION_COLOUR},
        {0}};
    *options = (struct list_options){.limit = LIMIT_DEFAULT};
    int letter;
    bool good = true;
    while (good && (letter = getopt_long(argc, argv, ":n:s:ej", table, NULL)) != -1) {
        switch (letter) {
        case 'n':
            good = limit_parse(optarg, &options->limit);
            break;
        case 's':
            options->service = optarg;
            break;
        case 'e':
            options->errors = true;
            break;
        case 'j':
            options->json = true;
            break;
        case OPTION_COLOUR:
            good = colour_mode_parse(optarg, &options->colour);
            break;
        default:
            good = false;
        }
    }
    return good;
}
