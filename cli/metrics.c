/* SPDX-License-Identifier: Apache-2.0 */
/*
 * burdock metrics: what processes measured, in Prometheus' text format 0.0.4. Names, units and
 * labels follow OpenTelemetry's rules for it ("Prometheus and OpenMetrics compatibility"): a
 * process is one instance of the job that its service is.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli.h"
#include "json_write.h"
#include "metrics_file.h"
#include "otlp_read.h"
#include "process_facts.h"
#include "store.h"

/* One request of one process. */
struct source {
    struct wire_field resource, metrics; /* Resource; ScopeMetrics */
    char *labels;                        /* job="...",instance="..." */
};

/* All metrics of a name, whose samples must stand together. */
struct family {
    char *name, *help;
    const char *type;
};

struct exposition {
    struct source *sources;
    struct family *families;
    size_t source_count, family_count;
};

enum { GAUGE = 5, SUM = 7, HISTOGRAM = 9 };

/* ---- fields ---- */

static bool next(const uint8_t **at, const struct wire_field *in, uint32_t number,
    enum wire_type type, struct wire_field *field)
{
    while (wire_next(at, in->data + in->length, field))
        if (field->number == number && field->type == type)
            return true;
    return false;
}

static struct wire_field find(const struct wire_field *in, uint32_t number, enum wire_type type)
{
    struct wire_field found;
    if (wire_find(in->data, in->length, number, type, &found))
        return found;
    return (struct wire_field){.data = in->data};
}

static double real_of(uint64_t bits)
{
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* ---- text ---- */

struct line {
    char *text;
    size_t length, room;
};

static void add(struct line *line, const void *text, size_t length)
{
    if (line->length + length + 1 > line->room) {
        line->room = (line->length + length + 1) * 2;
        line->text = reallocate(line->text, line->room, 1);
    }
    memcpy(line->text + line->length, text, length);
    line->length += length;
    line->text[line->length] = 0;
}

static void add_text(struct line *line, const char *text)
{
    add(line, text, strlen(text));
}

/* A name may hold letters, digits and underscores only. */
static void add_name(struct line *line, const void *text, size_t length)
{
    const char *from = text;
    for (size_t i = 0; i < length; i++) {
        bool is_good = (from[i] >= 'a' && from[i] <= 'z') || (from[i] >= 'A' && from[i] <= 'Z') ||
                       (from[i] >= '0' && from[i] <= '9');
        add(line, is_good ? from + i : "_", 1);
    }
}

static void add_escaped(struct line *line, const void *text, size_t length)
{
    const char *from = text;
    for (size_t i = 0; i < length; i++) {
        if (from[i] == '\n')
            add_text(line, "\\n");
        else {
            if (from[i] == '"' || from[i] == '\\')
                add_text(line, "\\");
            add(line, from + i, 1);
        }
    }
}

static void add_real(struct line *line, double value)
{
    char text[64];
    struct json_writer w = {.at = text, .limit = text + sizeof text};
    json_put_real(&w, NULL, value);
    add(line, text, (size_t)(w.at - text));
}

/* AnyValue as text. */
static void add_value(struct line *line, const struct wire_field *any)
{
    const uint8_t *at = any->data;
    struct wire_field value;
    if (!wire_next(&at, any->data + any->length, &value))
        return;
    if (value.type == WIRE_BYTES)
        add_escaped(line, value.data, value.length);
    else if (value.number == 2)
        add_text(line, value.value ? "true" : "false");
    else {
        char *number = format_text("%lld", (long long)value.value);
        add_text(line, number);
        free(number);
    }
}

/* A label of that name is there already: two attributes may differ in what no name can hold. Values
 * have their quotes escaped, so none looks like a label. */
static bool has_label(const struct line *line, const char *label)
{
    size_t length = strlen(label) - 1; /* without its comma at the beginning of a line */
    return line->length > 0 &&
           (strncmp(line->text, label + 1, length) == 0 || strstr(line->text, label) != NULL);
}

/* ,key="value" for each attribute, which are field `number` of a message. */
static void add_labels(struct line *line, const struct wire_field *in, uint32_t number)
{
    const uint8_t *at = in->data;
    struct wire_field pair;
    while (next(&at, in, number, WIRE_BYTES, &pair)) {
        struct wire_field key = find(&pair, 1, WIRE_BYTES), any = find(&pair, 2, WIRE_BYTES);
        struct line label = {0};
        /* None begins with a digit; those with two underscores are Prometheus' own. */
        bool is_digit = key.length > 0 && *key.data >= '0' && *key.data <= '9';
        bool is_letter = key.length > 0 && (*key.data | 0x20) >= 'a' && (*key.data | 0x20) <= 'z';
        add_text(&label, is_digit ? ",key_" : is_letter ? "," : ",key");
        add_name(&label, key.data, key.length);
        add_text(&label, "=\"");
        bool is_again = has_label(line, label.text);
        if (!is_again)
            add_text(line, label.text);
        free(label.text);
        if (is_again)
            continue;
        add_value(line, &any);
        add_text(line, "\"");
    }
}

/* ---- families ---- */

static bool ends_with(const struct line *line, const char *suffix)
{
    size_t length = strlen(suffix);
    return line->length >= length && strcmp(line->text + line->length - length, suffix) == 0;
}

static void add_suffix(struct line *line, const char *suffix)
{
    if (!ends_with(line, suffix))
        add_text(line, suffix);
}

static bool is_counter(const struct wire_field *metric)
{
    struct wire_field sum = find(metric, SUM, WIRE_BYTES);
    return find(&sum, 3, WIRE_VARINT).value != 0;
}

static char *family_name(const struct wire_field *metric)
{
    struct line line = {0};
    struct wire_field name = find(metric, 1, WIRE_BYTES), unit = find(metric, 3, WIRE_BYTES);
    add_name(&line, name.data, name.length);
    if (unit.length == 1 && *unit.data == 's')
        add_suffix(&line, "_seconds");
    if (unit.length == 2 && memcmp(unit.data, "By", 2) == 0)
        add_suffix(&line, "_bytes");
    if (is_counter(metric))
        add_suffix(&line, "_total");
    return line.text;
}

static struct family *family_of(struct exposition *all, const char *name)
{
    for (size_t i = 0; i < all->family_count; i++)
        if (strcmp(all->families[i].name, name) == 0)
            return &all->families[i];
    return NULL;
}

static void note_family(struct exposition *all, const struct wire_field *metric)
{
    char *name = family_name(metric);
    struct line help = {0};
    struct wire_field text = find(metric, 2, WIRE_BYTES);
    if (!name || family_of(all, name)) {
        free(name);
        return;
    }
    add_escaped(&help, text.data, text.length);
    all->families = reallocate(all->families, all->family_count + 1, sizeof *all->families);
    all->families[all->family_count++] = (struct family){name, help.text,
        is_counter(metric)                               ? "counter"
        : find(metric, HISTOGRAM, WIRE_BYTES).length > 0 ? "histogram"
                                                         : "gauge"};
}

/* ---- samples ---- */

static void print_sample(
    const char *family, const char *suffix, const char *labels, const char *bound, double value)
{
    struct line line = {0};
    add_text(&line, family);
    add_text(&line, suffix);
    add_text(&line, "{");
    add_text(&line, labels);
    if (bound) {
        add_text(&line, ",le=\"");
        add_text(&line, bound);
        add_text(&line, "\"");
    }
    add_text(&line, "} ");
    add_real(&line, value);
    puts(line.text);
    free(line.text);
}

/* Buckets are counted each for itself in OTLP, and up to a bound here. */
static void print_histogram(const char *family, const struct wire_field *point, const char *labels)
{
    struct wire_field counts = find(point, 6, WIRE_BYTES), bounds = find(point, 7, WIRE_BYTES);
    uint64_t sum = 0, count;
    for (size_t i = 0; i + 8 <= counts.length; i += 8) {
        struct line bound = {0};
        uint64_t bits;
        memcpy(&count, counts.data + i, 8);
        sum += count;
        if (i + 8 <= bounds.length) {
            memcpy(&bits, bounds.data + i, 8);
            add_real(&bound, real_of(bits));
        } else
            add_text(&bound, "+Inf");
        print_sample(family, "_bucket", labels, bound.text, (double)sum);
        free(bound.text);
    }
    print_sample(family, "_sum", labels, NULL, real_of(find(point, 5, WIRE_FIXED64).value));
    print_sample(family, "_count", labels, NULL, (double)find(point, 4, WIRE_FIXED64).value);
}

static void print_point(const char *family, const struct wire_field *point, bool is_histogram,
    const struct source *source)
{
    struct line labels = {0};
    struct wire_field real;
    add_text(&labels, source->labels);
    add_labels(&labels, point, is_histogram ? 9 : 7);
    if (is_histogram)
        print_histogram(family, point, labels.text);
    else if (wire_find(point->data, point->length, 4, WIRE_FIXED64, &real))
        print_sample(family, "", labels.text, NULL, real_of(real.value));
    else
        print_sample(
            family, "", labels.text, NULL, (double)(int64_t)find(point, 6, WIRE_FIXED64).value);
    free(labels.text);
}

static void print_metric(
    const char *family, const struct wire_field *metric, const struct source *source)
{
    static const uint32_t kinds[] = {GAUGE, SUM, HISTOGRAM};
    char *name = family_name(metric);
    bool is_it = name && strcmp(name, family) == 0;
    free(name);
    for (size_t i = 0; is_it && i < sizeof kinds / sizeof kinds[0]; i++) {
        struct wire_field data = find(metric, kinds[i], WIRE_BYTES), point;
        const uint8_t *at = data.data;
        while (next(&at, &data, 1, WIRE_BYTES, &point))
            print_point(family, &point, kinds[i] == HISTOGRAM, source);
    }
}

static void print_targets(const struct exposition *all)
{
    puts("# HELP target_info What the process says of itself.\n# TYPE target_info gauge");
    for (size_t i = 0; i < all->source_count; i++) {
        struct line line = {0};
        bool is_again = i > 0 && strcmp(all->sources[i].labels, all->sources[i - 1].labels) == 0;
        add_text(&line, all->sources[i].labels);
        add_labels(&line, &all->sources[i].resource, 1);
        if (!is_again)
            print_sample("target_info", "", line.text, NULL, 1);
        free(line.text);
    }
}

typedef void metric_visitor(
    void *argument, const struct wire_field *metric, const struct source *source);

static void each_metric(const struct exposition *all, metric_visitor *visit, void *argument)
{
    for (size_t i = 0; i < all->source_count; i++) {
        const struct source *source = &all->sources[i];
        const uint8_t *at = source->metrics.data;
        struct wire_field metric;
        while (next(&at, &source->metrics, 2, WIRE_BYTES, &metric))
            visit(argument, &metric, source);
    }
}

static void visit_note(void *all, const struct wire_field *metric, const struct source *source)
{
    note_family(all, metric);
}

static void visit_print(void *family, const struct wire_field *metric, const struct source *source)
{
    print_metric(family, metric, source);
}

static void print_all(struct exposition *all)
{
    each_metric(all, visit_note, all);
    for (size_t i = 0; i < all->family_count; i++) {
        struct family *family = &all->families[i];
        printf("# HELP %s %s\n# TYPE %s %s\n", family->name, family->help ? family->help : "",
            family->name, family->type);
        each_metric(all, visit_print, family->name);
    }
    print_targets(all);
}

/* ---- files ---- */

static void add_resource_text(
    struct line *line, const struct wire_field *resource, const char *wanted)
{
    const uint8_t *at = resource->data;
    struct wire_field pair;
    while (next(&at, resource, 1, WIRE_BYTES, &pair)) {
        struct wire_field key = find(&pair, 1, WIRE_BYTES), any = find(&pair, 2, WIRE_BYTES);
        if (key.length == strlen(wanted) && memcmp(key.data, wanted, key.length) == 0)
            add_value(line, &any);
    }
}

static char *labels_of(const struct wire_field *resource)
{
    struct line line = {0};
    add_text(&line, "job=\"");
    size_t before = line.length;
    add_resource_text(&line, resource, "service.namespace");
    if (line.length > before)
        add_text(&line, "/");
    add_resource_text(&line, resource, "service.name");
    add_text(&line, "\",instance=\"");
    add_resource_text(&line, resource, "service.instance.id");
    add_text(&line, "\"");
    return line.text;
}

static void add_request(struct exposition *all, const uint8_t *payload, size_t length)
{
    struct wire_field request = {.data = payload, .length = length}, of_resource;
    const uint8_t *at = payload;
    while (next(&at, &request, 1, WIRE_BYTES, &of_resource)) {
        struct wire_field resource = find(&of_resource, 1, WIRE_BYTES);
        struct wire_field metrics = find(&of_resource, 2, WIRE_BYTES);
        all->sources = reallocate(all->sources, all->source_count + 1, sizeof *all->sources);
        all->sources[all->source_count++] =
            (struct source){resource, metrics, labels_of(&resource)};
    }
}

/* The directory may be writable for all: a plain file of a sane size only. The bytes are kept to
 * the end of the command. */
static void add_file(struct exposition *all, int directory, const char *name)
{
    struct stat status;
    int descriptor = openat(directory, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (descriptor < 0)
        return;
    if (fstat(descriptor, &status) == 0 && S_ISREG(status.st_mode) &&
        status.st_size <= METRICS_FILE_BYTES_MAX) {
        uint8_t *bytes = allocate((size_t)status.st_size + 1);
        ssize_t got = read(descriptor, bytes, (size_t)status.st_size);
        size_t offset = 0, length;
        const uint8_t *payload;
        uint32_t torn = 0;
        while (got > 0 && store_next(bytes, (size_t)got, &offset, &payload, &length, &torn))
            add_request(all, payload, length);
    }
    close(descriptor);
}

/* burdock-<pid>-<start>.ring.metrics; 0: another file. */
static int pid_of(const char *name)
{
    static const char suffix[] = ".ring" METRICS_FILE_SUFFIX;
    size_t length = strlen(name), end = sizeof suffix - 1;
    if (strncmp(name, "burdock-", 8) != 0 || length < end ||
        strcmp(name + length - end, suffix) != 0)
        return 0;
    return (int)strtol(name + 8, NULL, 10);
}

static void read_files(struct exposition *all, const char *directory, int pid)
{
    struct dirent **entries;
    int count = scandir(directory, &entries, NULL, alphasort);
    int descriptor = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (int i = 0; i < count; i++) {
        int found = pid_of(entries[i]->d_name);
        bool is_alive = found > 0 && (kill(found, 0) == 0 || errno == EPERM);
        if (is_alive && (pid == 0 || found == pid))
            add_file(all, descriptor, entries[i]->d_name);
        free(entries[i]);
    }
    if (count >= 0)
        free(entries);
    if (descriptor >= 0)
        close(descriptor);
}

int verb_metrics(int argc, char **argv)
{
    static struct config settings;
    struct exposition all = {0};
    int pid = argc == 2 ? pid_parse(argv[1]) : 0;
    if (argc > 2 || (argc == 2 && pid == 0)) {
        complain("metrics", "takes the number of a process, or nothing", NULL);
        return STATUS_USAGE;
    }
    if (pid == 0 || !process_settings(pid, &settings))
        settings_read(&settings);
    read_files(&all, settings.run_directory, pid);
    if (all.source_count == 0) {
        complain("metrics", "no process tells of any",
            "start it with OTEL_METRICS_EXPORTER=prometheus, and send it a request");
        return STATUS_FAILED;
    }
    print_all(&all);
    return STATUS_OK;
}
