/* SPDX-License-Identifier: Apache-2.0 */
#include "service_name.h"

#include <stdbool.h>
#include <string.h>

#include "text.h"

/* One row per interpreter: what its command line looks like before the script. Lists are separated
 * by one blank and begin and end with one. */
struct interpreter {
    char name[8];        /* a version of digits and dots may follow */
    bool class_name;     /* what is run is a dotted name, not a path */
    const char *options; /* OPTIONS, by enum options */
};

enum options {
    WITH_VALUE, /* options whose value is the next argument */
    NO_SCRIPT,  /* options that carry the program themselves */
    NAMES,      /* options whose value is what we look for: a module, an archive */
};

#define OPTIONS(with_value, no_script, names) with_value "\0" no_script "\0" names

static const struct interpreter interpreters[] = {
    {"python", false, OPTIONS(" -W -X -Q --check-hash-based-pycs ", " -c ", " -m ")},
    {"pypy", false, OPTIONS(" -W -X ", " -c ", " -m ")},
    {"node", false,
        OPTIONS(" -r --require --import --loader --experimental-loader -C --conditions ",
            " -e --eval -p --print -pe ", " ")},
    {"nodejs", false, OPTIONS(" -r --require --import -C ", " -e --eval -p --print -pe ", " ")},
    {"ruby", false, OPTIONS(" -I -r -C -E -F ", " -e ", " ")},
    {"perl", false, OPTIONS(" -I ", " -e -E ", " ")},
    {"php", false, OPTIONS(" -d -c -z -S -t ", " -r -B -R -E ", " -f -F ")},
    {"java", true,
        OPTIONS(" -cp -classpath --class-path -p --module-path --upgrade-module-path --add-modules "
                "--add-opens --add-exports --add-reads --patch-module ",
            " ", " -jar -m --module ")},
    {"lua", false, OPTIONS(" -l ", " -e ", " ")},
    {"sh", false, OPTIONS(" -o +o ", " -c ", " ")},
    {"bash", false, OPTIONS(" -o +o -O +O --rcfile --init-file ", " -c ", " ")},
    {"dash", false, OPTIONS(" -o +o ", " -c ", " ")},
    {"zsh", false, OPTIONS(" -o +o ", " -c ", " ")},
    {"ksh", false, OPTIONS(" -o +o ", " -c ", " ")},
};

static struct slice base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    return (struct slice){name, strlen(name)};
}

static const struct interpreter *interpreter_find(struct slice name)
{
    for (size_t i = 0; i < sizeof(interpreters) / sizeof(interpreters[0]); i++) {
        size_t length = strlen(interpreters[i].name);
        if (name.length < length || memcmp(name.data, interpreters[i].name, length) != 0)
            continue;
        if (strspn(name.data + length, "0123456789.") >= name.length - length)
            return &interpreters[i];
    }
    return NULL;
}

static bool listed(const char *list, const char *option)
{
    size_t length = strlen(option);
    for (const char *at = list; (at = strstr(at, option)) != NULL; at++)
        if (at > list && at[-1] == ' ' && at[length] == ' ')
            return true;
    return false;
}

/* sh -ec "..." : letters of shells and perl may be joined, the last one takes the program. */
static bool carries_program(const struct interpreter *interpreter, const char *option)
{
    size_t length = strlen(option);
    if (listed(text_nth(interpreter->options, NO_SCRIPT), option))
        return true;
    if (length < 3 || option[1] == '-' || interpreter->class_name)
        return false;
    char last[3] = {'-', option[length - 1], 0};
    return listed(text_nth(interpreter->options, NO_SCRIPT), last);
}

/* The argument that names what is run, NULL if none does. */
static const char *find_script(const struct interpreter *interpreter, char *const *argv)
{
    for (size_t i = 1; argv[i]; i++) {
        const char *argument = argv[i];
        if ((argument[0] != '-' && argument[0] != '+') || argument[1] == 0)
            return strcmp(argument, "-") == 0 ? NULL : argument;
        if (strcmp(argument, "--") == 0 || listed(text_nth(interpreter->options, NAMES), argument))
            return argv[i + 1];
        if (listed(text_nth(interpreter->options, WITH_VALUE), argument)) {
            if (argv[++i] == NULL)
                return NULL;
            continue;
        }
        if (carries_program(interpreter, argument))
            return NULL;
    }
    return NULL;
}

static struct slice without_extension(struct slice name)
{
    for (size_t i = name.length; i-- > 1;)
        if (name.data[i] == '.')
            return (struct slice){name.data, i};
    return name;
}

/* A module or class (http.server, com.example.Main) keeps its dots; a file loses its extension. */
static struct slice script_name(
    const struct interpreter *interpreter, const char *script, char *const *argv)
{
    struct slice name = base_name(script);
    bool module = interpreter->class_name;
    for (size_t i = 1; argv[i] && argv[i] != script; i++)
        if (strcmp(argv[i], "-m") == 0 && argv[i + 1] == script)
            module = true;
    bool archive = name.length > 4 && strcmp(name.data + name.length - 4, ".jar") == 0;
    return module && !archive ? name : without_extension(name);
}

void service_name_guess(const char *executable, char *const *argv, char *out, size_t room)
{
    static const char deleted[] = " (deleted)"; /* the kernel's suffix in /proc/self/exe */
    if ((executable == NULL || *executable == 0) && argv)
        executable = argv[0];
    struct slice name = executable ? base_name(executable) : (struct slice){"", 0};
    size_t suffix = sizeof(deleted) - 1;
    if (name.length > suffix && memcmp(name.data + name.length - suffix, deleted, suffix) == 0)
        name.length -= suffix;

    const struct interpreter *interpreter = interpreter_find(name);
    const char *script = interpreter && argv && argv[0] ? find_script(interpreter, argv) : NULL;
    if (script && *script && base_name(script).length > 0)
        name = script_name(interpreter, script, argv);
    if (name.length == 0)
        name = (struct slice){"unknown_service", 15};
    size_t length = name.length < room ? name.length : room - 1;
    memcpy(out, name.data, length);
    out[length] = 0;
}
