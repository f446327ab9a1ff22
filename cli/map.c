/* SPDX-License-Identifier: Apache-2.0 */
/* burdock map: who sends messages where, who works on them, and how long they wait in between. */
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "archive.h"
#include "cli.h"
#include "decode.h"
#include "json.h"
#include "list_options.h"
#include "title.h"

struct message {
    uint8_t span_id[8], parent_id[8];
    bool is_sent, is_taken; /* taken: somebody's work on it is known */
    bool failed;
    char *service, *system, *destination;
    uint64_t start_ns, end_ns;
};

/* A way that a message went; NULL: an end of it that is not known. */
struct way {
    const char *producer, *system, *destination, *consumer;
    uint64_t waited_ns, worked_ns;
    bool failed;
};

struct messages {
    struct message *items;
    size_t count, room;
};

static char *text_of(const struct stored_span *span, const char *key)
{
    const struct value *value = attribute_find(span, key);
    return duplicate(value != NULL && value->kind == VALUE_TEXT ? value->text : "");
}

static void span_collect(
    const struct resource *resource, const struct stored_span *span, void *context)
{
    struct messages *all = context;
    const struct value *type = attribute_find(span, "messaging.operation.type");
    bool is_sent = type != NULL && type->kind == VALUE_TEXT && strcmp(type->text, "send") == 0;
    bool is_work = type != NULL && type->kind == VALUE_TEXT && strcmp(type->text, "process") == 0;
    if (!is_sent && !is_work)
        return;
    if (all->count == all->room) {
        all->room = all->room * 2 + 256;
        all->items = reallocate(all->items, all->room, sizeof(*all->items));
    }
    struct message *message = &all->items[all->count++];
    *message = (struct message){.is_sent = is_sent,
        .failed = span->status == STATUS_CODE_ERROR,
        .service = duplicate(resource->service),
        .system = text_of(span, "messaging.system"),
        .destination = text_of(span, "messaging.destination.name"),
        .start_ns = span->start_ns,
        .end_ns = span->end_ns};
    memcpy(message->span_id, span->span_id, sizeof(message->span_id));
    memcpy(message->parent_id, span->parent_id, sizeof(message->parent_id));
}

static bool payload_collect(const uint8_t *payload, size_t length, void *context)
{
    struct request *request = request_decode(payload, length);
    if (request != NULL)
        request_each_span(request, span_collect, context);
    request_free(request);
    return true;
}

static int by_span(const void *a, const void *b)
{
    const struct message *left = a, *right = b;
    return memcmp(left->span_id, right->span_id, sizeof(left->span_id));
}

static struct message *sender_of(const struct messages *all, const struct message *work)
{
    struct message wanted = {0};
    memcpy(wanted.span_id, work->parent_id, sizeof(wanted.span_id));
    struct message *found =
        all->count == 0 ? NULL : bsearch(&wanted, all->items, all->count, sizeof(wanted), by_span);
    return found != NULL && found->is_sent ? found : NULL;
}

static struct way way_of_work(const struct message *work, struct message *sent)
{
    struct way way = {NULL, work->system, work->destination, work->service, .failed = work->failed};
    way.worked_ns = work->end_ns - work->start_ns;
    if (sent == NULL)
        return way;
    sent->is_taken = true;
    way.producer = sent->service;
    way.destination = sent->destination;
    way.waited_ns = work->start_ns > sent->end_ns ? work->start_ns - sent->end_ns : 0;
    return way;
}

/* One for each message that was worked on, and for each that nobody is known to have worked on. */
static struct way *ways_of(struct messages *all, size_t *count)
{
    struct way *ways = allocate((all->count + 1) * sizeof(*ways));
    *count = 0;
    for (size_t i = 0; i < all->count; i++)
        if (!all->items[i].is_sent)
            ways[(*count)++] = way_of_work(&all->items[i], sender_of(all, &all->items[i]));
    for (size_t i = 0; i < all->count; i++) {
        const struct message *sent = &all->items[i];
        if (sent->is_sent && !sent->is_taken)
            ways[(*count)++] = (struct way){
                sent->service, sent->system, sent->destination, NULL, .failed = sent->failed};
    }
    return ways;
}

static int compare(const char *left, const char *right)
{
    return strcmp(left == NULL ? "" : left, right == NULL ? "" : right);
}

static int by_ends(const struct way *left, const struct way *right)
{
    int order = compare(left->system, right->system);
    order = order != 0 ? order : compare(left->destination, right->destination);
    order = order != 0 ? order : compare(left->producer, right->producer);
    return order != 0 ? order : compare(left->consumer, right->consumer);
}

static int by_wait(const void *a, const void *b)
{
    const struct way *left = a, *right = b;
    int order = by_ends(left, right);
    return order != 0 ? order
                      : (left->waited_ns > right->waited_ns) - (left->waited_ns < right->waited_ns);
}

static double milliseconds(uint64_t ns)
{
    return (double)ns / 1e6;
}

struct road {
    const struct way *way;
    size_t count, errors;
    double waited_ms, waited_max_ms, worked_ms; /* the middle one, the longest, on average */
};

static struct road road_of(const struct way *ways, size_t count)
{
    struct road road = {.way = ways, .count = count};
    for (size_t i = 0; i < count; i++) {
        road.errors += ways[i].failed;
        road.worked_ms += milliseconds(ways[i].worked_ns) / (double)count;
    }
    road.waited_ms = milliseconds(ways[(count - 1) / 2].waited_ns);
    road.waited_max_ms = milliseconds(ways[count - 1].waited_ns);
    return road;
}

/* Schema v1: fields are added, never changed or removed. */
static void print_json(const struct road *road)
{
    struct json json = {.stream = stdout};
    bool is_whole = road->way->producer != NULL && road->way->consumer != NULL;
    json_open(&json, NULL, '{');
    json_integer(&json, "v", 1);
    json_text(&json, "system", road->way->system);
    json_text(&json, "destination", road->way->destination);
    if (road->way->producer != NULL)
        json_text(&json, "producer", road->way->producer);
    if (road->way->consumer != NULL)
        json_text(&json, "consumer", road->way->consumer);
    json_integer(&json, "count", (int64_t)road->count);
    json_integer(&json, "errors", (int64_t)road->errors);
    if (is_whole) {
        json_real(&json, "waited_p50_ms", road->waited_ms);
        json_real(&json, "waited_max_ms", road->waited_max_ms);
    }
    if (road->way->consumer != NULL)
        json_real(&json, "worked_mean_ms", road->worked_ms);
    json_close(&json, '}');
    putchar('\n');
}

static void print_name(const char *name, int columns)
{
    char shown[256];
    int taken = terminal_text(name == NULL ? "?" : name, shown, sizeof(shown), columns);
    printf("%s%*s  ", shown, columns - taken, "");
}

static void print_time(bool is_known, double ms)
{
    if (is_known)
        printf("%11.1f", ms);
    else
        printf("%11s", "-");
}

enum { NAME_COLUMNS = 20 };

static void print_line(const struct road *road, const struct terminal *terminal)
{
    const struct way *way = road->way;
    bool is_whole = way->producer != NULL && way->consumer != NULL;
    print_name(way->producer, NAME_COLUMNS);
    print_name(way->destination, NAME_COLUMNS + 8);
    print_name(way->consumer, NAME_COLUMNS);
    printf("%8zu", road->count);
    print_time(is_whole, road->waited_ms);
    print_time(is_whole, road->waited_max_ms);
    print_time(way->consumer != NULL, road->worked_ms);
    printf("%s%8zu%s\n", road->errors > 0 ? terminal_red(terminal) : "", road->errors,
        road->errors > 0 ? terminal_plain(terminal) : "");
}

static bool is_wanted(const struct road *road, const struct list_options *options)
{
    const struct way *way = road->way;
    if (options->errors && road->errors == 0)
        return false;
    return options->service == NULL || compare(way->producer, options->service) == 0 ||
           compare(way->consumer, options->service) == 0;
}

static void print_ways(const struct way *ways, size_t count, const struct list_options *options)
{
    struct terminal terminal;
    long printed = 0;
    terminal_detect(&terminal, options->colour);
    for (size_t i = 0, next; i < count && printed < options->limit; i = next) {
        for (next = i + 1; next < count && by_ends(&ways[i], &ways[next]) == 0;)
            next++;
        struct road road = road_of(&ways[i], next - i);
        if (!is_wanted(&road, options))
            continue;
        if (printed++ == 0 && !options->json)
            printf("%s%-*s  %-*s  %-*s  %8s%11s%11s%11s%8s%s\n", terminal_dim(&terminal),
                NAME_COLUMNS, "PRODUCER", NAME_COLUMNS + 8, "DESTINATION", NAME_COLUMNS, "CONSUMER",
                "COUNT", "WAIT P50", "WAIT MAX", "WORK MEAN", "ERRORS", terminal_plain(&terminal));
        if (options->json)
            print_json(&road);
        else
            print_line(&road, &terminal);
    }
    if (printed == 0)
        fputs("burdock: no such messages in the store\n", stderr);
}

static void messages_free(struct messages *all)
{
    for (size_t i = 0; i < all->count; i++) {
        free(all->items[i].service);
        free(all->items[i].system);
        free(all->items[i].destination);
    }
    free(all->items);
}

int verb_map(int argc, char **argv)
{
    struct list_options options;
    struct messages all = {0};
    size_t count;
    if (!list_options_parse(argc, argv, &options))
        return complain_option("map", argv);
    if (optind < argc) {
        complain("map", "no argument is expected", "burdock help map");
        return STATUS_USAGE;
    }
    struct config settings;
    settings_read(&settings);
    struct archive_result result = archive_walk(
        settings.store_directory, &(struct archive_selection){0}, payload_collect, &all);
    if (all.count > 0)
        qsort(all.items, all.count, sizeof(*all.items), by_span);
    struct way *ways = ways_of(&all, &count);
    qsort(ways, count, sizeof(*ways), by_wait);
    print_ways(ways, count, &options);
    archive_report(&result);
    free(ways);
    messages_free(&all);
    return STATUS_OK;
}
