/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file is read whole, before anything is changed. What stands in it is walked in order; each
 * place is looked up by its path among the rows of config_file.def. Values of variables of the
 * environment, ${NAME}, are put into scalars, and cannot become anything else.
 */
#include "config_file.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "assignments.h"
#include "cli.h"
#include "substitute.h"

enum { PATH_MAX_BYTES = 256, DEPTH_MAX = 16, VISITED_MAX = 10000 };

enum kind {
    SET,
    NUMBER,
    TRUTH,
    IS,
    HAS,
    ADD,
    LIST,
    PAIRS,
    NAMES,
    ENCODING,
    FORMAT,
    STREAM,
    AS_IT_IS,
    UNUSED
};

static const struct row {
    const char *path;
    enum kind kind;
    const char *variable, *text;
} rows[] = {
#define ROW(path, kind, variable, text) {path, kind, variable, text},
#include "config_file.def"
#undef ROW
};

static const char *const variables[] = {
#define VARIABLE(name, parser, target, secure, text) name,
#include "variables.def"
#undef VARIABLE
};

struct reading {
    yaml_document_t document;
    const char *file;
    char path[PATH_MAX_BYTES];
    size_t line;
    bool tells, failed, has_format;
    size_t visited; /* nodes, by as many ways as there are to them */
    struct assignments assignments;
};

/* What is wrong, and on which line of the file. */
static void fail(struct reading *reading, const char *why, const char *fix)
{
    char *where = format_text("%s:%zu", reading->file, reading->line);
    char *what =
        *reading->path == '\0' ? duplicate(why) : format_text("%s: %s", reading->path + 1, why);
    complain(where, what, fix);
    free(what);
    free(where);
    reading->failed = true;
}

static void tell_unused(const struct reading *reading)
{
    char *where = format_text("%s:%zu", reading->file, reading->line);
    complain(where, reading->path + 1, "it has no effect here");
    free(where);
}

static void set(struct reading *reading, const char *name, const char *value)
{
    if (assignments_find(&reading->assignments, name) != NULL)
        fail(reading, "given already", "there is one exporter and one sampler");
    else
        assignments_replace(&reading->assignments, name, value);
}

/* --- scalars ------------------------------------------------------------------------------- */

static bool is_null(const yaml_node_t *node, const char *value)
{
    static const char *const nulls[] = {"", "~", "null", "Null", "NULL"};
    if (node->data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
        return false;
    for (size_t i = 0; i < sizeof(nulls) / sizeof(nulls[0]); i++)
        if (strcmp(value, nulls[i]) == 0)
            return true;
    return false;
}

/* *value: to be freed; NULL: there is none. False: it is no scalar, or not to be read. */
static bool read_scalar(struct reading *reading, const yaml_node_t *node, char **value)
{
    *value = NULL;
    if (node->type != YAML_SCALAR_NODE) {
        fail(reading, "one value is wanted here", NULL);
        return false;
    }
    char *text = substitute((const char *)node->data.scalar.value);
    if (text == NULL) {
        fail(reading, "a reference that is not ${NAME} or ${NAME:-default}", "write $$ for $");
        return false;
    }
    if (is_null(node, text))
        free(text);
    else
        *value = text;
    return true;
}

/* --- rows ---------------------------------------------------------------------------------- */

static bool is_number(const char *value)
{
    return *value != '\0' && strspn(value, "0123456789") == strlen(value);
}

static void take_stream(struct reading *reading, const struct row *row, const char *value)
{
    static const char file[] = "file:///";
    if (strcmp(value, "stdout") == 0)
        assignments_add(&reading->assignments, row->variable, "", "otlp/stdout");
    else if (strncmp(value, file, sizeof(file) - 1) == 0) {
        assignments_add(&reading->assignments, row->variable, "", "otlp_file");
        set(reading, row->text, value + sizeof(file) - 2);
    } else
        fail(reading, "neither stdout nor file:///...", NULL);
}

static void take_format(struct reading *reading, const char *value)
{
    reading->has_format = true;
    if (strcmp(value, "1.0") != 0 && strcmp(value, "1.1") != 0)
        fail(reading, "this version is not known", "1.0 and 1.1 are");
}

static void take_value(struct reading *reading, const struct row *row, const char *value)
{
    switch (row->kind) {
    case NUMBER:
        if (!is_number(value)) {
            fail(reading, "not a number", NULL);
            break;
        }     /* fall through */
    case SET: /* the one value that is written otherwise in a variable */
        set(reading, row->variable, strcmp(value, "low_memory") == 0 ? "lowmemory" : value);
        break;
    case TRUTH:
        if (strcmp(value, "true") != 0 && strcmp(value, "false") != 0)
            fail(reading, "neither true nor false", NULL);
        else
            set(reading, row->variable, value);
        break;
    case STREAM:
        take_stream(reading, row, value);
        break;
    case ADD:
        assignments_add(&reading->assignments, row->variable, row->text, value);
        break;
    case LIST:
        assignments_put_before(&reading->assignments, row->variable, value);
        break;
    case ENCODING: {
        char *protocol = format_text("%s%s", row->text, value);
        assignments_replace(&reading->assignments, row->variable, protocol);
        free(protocol);
        break;
    }
    case FORMAT:
        take_format(reading, value);
        break;
    default:
        break;
    }
}

/* Is the place one of a row's, or above one? */
static bool is_known(const struct reading *reading)
{
    size_t length = strlen(reading->path);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (strncmp(rows[i].path, reading->path, length) == 0 &&
            (rows[i].path[length] == '\0' || rows[i].path[length] == '.' ||
                rows[i].path[length] == '['))
            return true;
    return false;
}

/* --- the walk ------------------------------------------------------------------------------ */

static void walk(struct reading *reading, int node_index, int depth);

static yaml_node_t *enter(struct reading *reading, int node_index)
{
    yaml_node_t *node = yaml_document_get_node(&reading->document, node_index);
    reading->line = reading->assignments.line = node->start_mark.line + 1;
    return node;
}

/* {name: n, value: v}; a type, which says what the value is anyway, may stand there, too. */
static void take_pair(struct reading *reading, const struct row *row, const yaml_node_t *node)
{
    char *name = NULL, *value = NULL;
    for (yaml_node_pair_t *pair = node->data.mapping.pairs.start;
         node->type == YAML_MAPPING_NODE && pair < node->data.mapping.pairs.top; pair++) {
        const char *key =
            (const char *)yaml_document_get_node(&reading->document, pair->key)->data.scalar.value;
        char **target = strcmp(key, "name") == 0    ? &name
                        : strcmp(key, "value") == 0 ? &value
                                                    : NULL;
        if (target != NULL && *target == NULL)
            read_scalar(reading, enter(reading, pair->value), target);
    }
    if (name == NULL || *name == '\0' || value == NULL) {
        fail(reading, "a name and a value are wanted", NULL);
    } else {
        bool is_header = strstr(row->variable, "HEADERS") != NULL; /* they have names as they are */
        char *escaped = escape(value), *key = is_header ? duplicate(name) : escape(name);
        char *text = format_text("%s=", key);
        assignments_add(&reading->assignments, row->variable, text, escaped);
        free(escaped);
        free(key);
        free(text);
    }
    free(name);
    free(value);
}

/* The keys of what stands in a list: `- tracecontext:`. */
static void take_names(struct reading *reading, const struct row *row, const yaml_node_t *node)
{
    if (node->type != YAML_MAPPING_NODE)
        fail(reading, "a key is wanted here, `name:`", NULL);
    for (yaml_node_pair_t *pair = node->data.mapping.pairs.start;
         node->type == YAML_MAPPING_NODE && pair < node->data.mapping.pairs.top; pair++)
        assignments_add(&reading->assignments, row->variable, "",
            (const char *)yaml_document_get_node(&reading->document, pair->key)->data.scalar.value);
}

enum found { FOUND_NOTHING, FOUND_PLACE, FOUND_ALL };

static void take_scalar(struct reading *reading, const struct row *row, const yaml_node_t *node)
{
    char *value;
    bool is_wanted = row->kind != IS && row->kind != HAS && row->kind != AS_IT_IS;
    if (read_scalar(reading, node, &value) && value != NULL && is_wanted)
        take_value(reading, row, value);
    else if (value != NULL)
        fail(reading, "no value is wanted here", NULL);
    free(value);
}

/* ALL: nothing below this place is to be looked at. */
static enum found take(struct reading *reading, const struct row *row, const yaml_node_t *node)
{
    switch (row->kind) {
    case UNUSED:
        if (reading->tells)
            tell_unused(reading);
        return FOUND_ALL;
    case PAIRS:
        take_pair(reading, row, node);
        return FOUND_ALL;
    case NAMES:
        take_names(reading, row, node);
        return FOUND_ALL;
    case IS:
        set(reading, row->variable, row->text);
        break;
    case HAS:
        assignments_add(&reading->assignments, row->variable, row->text, "");
        break;
    default:
        break;
    }
    if (node->type == YAML_SCALAR_NODE)
        take_scalar(reading, row, node);
    return FOUND_PLACE;
}

static enum found take_rows(struct reading *reading, const yaml_node_t *node)
{
    enum found found = FOUND_NOTHING;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]) && found != FOUND_ALL; i++)
        if (strcmp(rows[i].path, reading->path) == 0)
            found = take(reading, &rows[i], node);
    return found;
}

/* Burdock's own settings: distribution.burdock.NAME is BURDOCK_NAME. */
static bool take_own(struct reading *reading, const yaml_node_t *node)
{
    static const char own[] = ".distribution.burdock.";
    char name[PATH_MAX_BYTES] = "BURDOCK_", *value;
    if (strncmp(reading->path, own, sizeof(own) - 1) != 0)
        return false;
    for (size_t i = 0; reading->path[sizeof(own) - 1 + i] != '\0'; i++)
        name[strlen("BURDOCK_") + i] =
            (char)toupper((unsigned char)reading->path[sizeof(own) - 1 + i]);
    for (size_t i = 0; i < sizeof(variables) / sizeof(variables[0]); i++) {
        if (strcmp(variables[i], name) != 0)
            continue;
        if (read_scalar(reading, node, &value) && value != NULL)
            set(reading, variables[i], value);
        free(value);
        return true;
    }
    fail(reading, "no setting of Burdock", NULL);
    return true;
}

static void walk_mapping(struct reading *reading, const yaml_node_t *node, int depth)
{
    size_t length = strlen(reading->path);
    for (yaml_node_pair_t *pair = node->data.mapping.pairs.start;
         pair < node->data.mapping.pairs.top && !reading->failed; pair++) {
        yaml_node_t *key = enter(reading, pair->key);
        int added = key->type != YAML_SCALAR_NODE
                        ? PATH_MAX_BYTES
                        : snprintf(reading->path + length, sizeof(reading->path) - length, ".%s",
                              (const char *)key->data.scalar.value);
        if (added < 0 || (size_t)added >= sizeof(reading->path) - length)
            fail(reading, "no key", NULL);
        else
            walk(reading, pair->value, depth + 1);
        reading->path[length] = '\0';
    }
}

static void walk_sequence(struct reading *reading, const yaml_node_t *node, int depth)
{
    size_t length = strlen(reading->path);
    if (length + 3 > sizeof(reading->path)) {
        fail(reading, "too deep", NULL);
        return;
    }
    strcpy(reading->path + length, "[]");
    for (yaml_node_item_t *item = node->data.sequence.items.start;
         item < node->data.sequence.items.top && !reading->failed; item++)
        walk(reading, *item, depth + 1);
    reading->path[length] = '\0';
}

/* What stands where keys belong. */
static void refuse_scalar(struct reading *reading, const yaml_node_t *node)
{
    char *value;
    if (read_scalar(reading, node, &value) && value != NULL)
        fail(reading, "keys are wanted here, not a value", NULL);
    free(value);
}

static void walk(struct reading *reading, int node_index, int depth)
{
    yaml_node_t *node = enter(reading, node_index);
    bool is_foreign = strncmp(reading->path, ".distribution", 13) == 0;
    enum found found = FOUND_PLACE;
    if (depth > DEPTH_MAX || ++reading->visited > VISITED_MAX)
        fail(reading, "too deep", NULL);
    else if (is_foreign && node->type == YAML_SCALAR_NODE)
        take_own(reading, node); /* of other distributions nothing is ours to know */
    else if ((found = take_rows(reading, node)) == FOUND_ALL)
        return;
    else if (found == FOUND_NOTHING && !is_foreign && depth > 0 && !is_known(reading))
        fail(reading, "not known, or not possible here", NULL);
    else if (node->type == YAML_MAPPING_NODE)
        walk_mapping(reading, node, depth);
    else if (node->type == YAML_SEQUENCE_NODE)
        walk_sequence(reading, node, depth);
    else if (found == FOUND_NOTHING)
        refuse_scalar(reading, node);
}

/* --- the file ------------------------------------------------------------------------------ */

static bool load(struct reading *reading)
{
    FILE *file = fopen(reading->file, "re");
    if (file == NULL) {
        complain(reading->file, strerror(errno), "OTEL_CONFIG_FILE names it");
        reading->failed = true;
        return false;
    }
    yaml_parser_t parser;
    bool is_loaded = yaml_parser_initialize(&parser);
    if (is_loaded) {
        yaml_parser_set_input_file(&parser, file);
        is_loaded = yaml_parser_load(&parser, &reading->document);
        reading->line = parser.problem_mark.line + 1;
        if (!is_loaded)
            fail(reading, parser.problem == NULL ? "this is no YAML" : parser.problem, NULL);
        yaml_parser_delete(&parser);
    }
    fclose(file);
    return is_loaded;
}

/* What the specification says of places that are not there. */
static void add_defaults(struct reading *reading)
{
    static const char *const signals[][4] = {
        {"OTEL_TRACES_EXPORTER", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://localhost:4318/v1/traces"},
        {"OTEL_METRICS_EXPORTER", "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL",
            "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "http://localhost:4318/v1/metrics"},
        {"OTEL_LOGS_EXPORTER", "OTEL_EXPORTER_OTLP_LOGS_PROTOCOL",
            "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "http://localhost:4318/v1/logs"}};
    for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
        const char *protocol = assignments_find(&reading->assignments, signals[i][1]);
        if (assignments_find(&reading->assignments, signals[i][0]) == NULL)
            assignments_replace(&reading->assignments, signals[i][0], "none");
        if (protocol != NULL && assignments_find(&reading->assignments, signals[i][2]) == NULL)
            assignments_replace(&reading->assignments, signals[i][2],
                strcmp(protocol, "grpc") == 0 ? "http://localhost:4317" : signals[i][3]);
    }
    if (assignments_find(&reading->assignments, "OTEL_PROPAGATORS") == NULL)
        assignments_replace(&reading->assignments, "OTEL_PROPAGATORS", "none");
}

static void apply(const struct reading *reading)
{
    for (size_t i = 0; i < sizeof(variables) / sizeof(variables[0]); i++)
        if (config_file_overrides(variables[i]) && strcmp(variables[i], "OTEL_CONFIG_FILE") != 0)
            unsetenv(variables[i]);
    assignments_apply(&reading->assignments);
    setenv("BURDOCK_CONFIG", "1", 1);
}

static bool read_file(struct reading *reading)
{
    if (!load(reading))
        return false;
    yaml_node_t *root = yaml_document_get_root_node(&reading->document);
    if (root == NULL || root->type != YAML_MAPPING_NODE)
        fail(reading, "no configuration is in it", NULL);
    else
        walk(reading, 1, 0);
    *reading->path = '\0';
    reading->line = 1;
    reading->assignments.line = 0;
    if (!reading->failed && !reading->has_format)
        fail(reading, "it does not say its file_format", NULL);
    if (!reading->failed)
        add_defaults(reading);
    yaml_document_delete(&reading->document);
    return !reading->failed && config_file_check(reading->file, &reading->assignments);
}

bool config_file_apply(bool tells)
{
    static struct reading reading;
    reading.file = getenv("OTEL_CONFIG_FILE");
    reading.tells = tells;
    if (reading.file == NULL || *reading.file == '\0' || getenv("BURDOCK_CONFIG") != NULL)
        return true;
    if (reading.failed || !read_file(&reading))
        return false;
    apply(&reading);
    return true;
}
