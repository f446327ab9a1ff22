/* SPDX-License-Identifier: Apache-2.0 */
#include "waterfall.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bar.h"
#include "cli.h"
#include "hex.h"
#include "json.h"
#include "json_value.h"
#include "title.h"

enum {
    DEPTH_MAX = 24, /* deeper spans are drawn at this depth */
    SERVICE_COLUMNS_MAX = 16,
    STATUS_COLUMNS = 12,
    DURATION_COLUMNS = 10,
    BAR_CELLS_MIN = 10,
    EVENT_INDENT = 4, /* of an event's attributes */
    PREFIX_BYTES_MAX = (DEPTH_MAX + 1) * 12
};

static const char unseen_mark[] = " (parent not seen)";

/* Drawing pieces of the tree, three columns each. */
struct pieces {
    const char *middle, *last, *through, *nothing, *left_edge, *right_edge, *error;
};

static const struct pieces unicode_pieces = {"├─ ", "└─ ", "│  ", "   ", "│", "│", "✗"};
static const struct pieces ascii_pieces = {"|- ", "`- ", "|  ", "   ", "|", "|", "!"};

/* Widths of the columns, the same for all lines. */
struct layout {
    int name, service, bar;
};

static int depth_drawn(const struct tree_row *row)
{
    return row->depth < DEPTH_MAX ? row->depth : DEPTH_MAX;
}

static int text_columns(const char *text, int limit)
{
    char safe[2048];
    return terminal_text(text, safe, sizeof safe, limit);
}

/* What a row is called: "x37 SELECT items". */
static void row_title(const struct tree_row *row, char out[TITLE_BYTES_MAX])
{
    int length = row->repeats > 1 ? sprintf(out, "x%" PRIu32 " ", row->repeats) : 0;
    char title[TITLE_BYTES_MAX];
    title_format(row->span.span, title);
    snprintf(out + length, TITLE_BYTES_MAX - (size_t)length, "%s", title);
}

static int name_columns(const struct tree_row *row, int limit)
{
    char title[TITLE_BYTES_MAX];
    row_title(row, title);
    int columns = depth_drawn(row) * 3 + text_columns(title, limit);
    return columns + (row->parent_unseen ? (int)strlen(unseen_mark) : 0);
}

static struct layout measure(const struct waterfall *waterfall)
{
    struct layout layout = {0};
    int name_max = waterfall->terminal->width * 45 / 100;
    for (size_t i = 0; i < waterfall->count; i++) {
        const struct tree_row *row = &waterfall->rows[i];
        int name = name_columns(row, name_max);
        int service = text_columns(row->span.resource->service, SERVICE_COLUMNS_MAX);
        layout.name = name > layout.name ? name : layout.name;
        layout.service = service > layout.service ? service : layout.service;
    }
    layout.name = layout.name > name_max ? name_max : layout.name;
    layout.bar = waterfall->terminal->width - layout.name - layout.service - DURATION_COLUMNS -
                 STATUS_COLUMNS - 6;
    if (layout.bar < BAR_CELLS_MIN)
        layout.bar = BAR_CELLS_MIN;
    return layout;
}

/* Written from the row upwards, hence from the end of the buffer. */
static const char *tree_prefix(const struct waterfall *waterfall, const struct tree_row *row,
    const struct pieces *pieces, char buffer[PREFIX_BYTES_MAX])
{
    char *at = buffer + PREFIX_BYTES_MAX - 1;
    *at = 0;
    const char *piece = row->last ? pieces->last : pieces->middle;
    for (int drawn = 0; row->parent != TREE_NONE && drawn < DEPTH_MAX; drawn++) {
        at -= strlen(piece);
        memcpy(at, piece, strlen(piece));
        row = &waterfall->rows[row->parent];
        piece = row->last ? pieces->nothing : pieces->through;
    }
    return at;
}

static void print_name(const struct waterfall *waterfall, const struct tree_row *row,
    const struct pieces *pieces, const struct layout *layout)
{
    char prefix[PREFIX_BYTES_MAX], title[TITLE_BYTES_MAX], name[2048];
    const struct terminal *terminal = waterfall->terminal;
    int mark = row->parent_unseen ? (int)strlen(unseen_mark) : 0;
    int room = layout->name - depth_drawn(row) * 3 - mark;
    row_title(row, title);
    int taken = terminal_text(title, name, sizeof name, room > 4 ? room : 4);
    bool error = row->span.span->status == STATUS_CODE_ERROR;
    printf("%s%s%s%s%s%s%s", tree_prefix(waterfall, row, pieces, prefix),
        error ? terminal_red(terminal) : "", name, error ? terminal_plain(terminal) : "",
        mark ? terminal_dim(terminal) : "", mark ? unseen_mark : "",
        mark ? terminal_plain(terminal) : "");
    if (room > taken)
        printf("%*s", room - taken, "");
}

static bool value_format(const struct value *value, char *out, size_t room)
{
    if (value->kind == VALUE_INTEGER)
        snprintf(out, room, "%" PRId64, value->integer);
    else if (value->kind == VALUE_TEXT)
        snprintf(out, room, "%s", value->text);
    else
        return false;
    return true;
}

/* What came of it, from the first of these attributes that the span has. */
static void status_text(const struct stored_span *span, char *out, size_t room)
{
    static const char *const keys[] = {"http.response.status_code", "db.response.status_code",
        "rpc.response.status_code", "rpc.grpc.status_code", "error.type"};
    char text[256] = "";
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        const struct value *value = attribute_find(span, keys[i]);
        if (value && value_format(value, text, sizeof text))
            break;
    }
    terminal_text(*text ? text : span->status_message, out, room, STATUS_COLUMNS - 2);
}

static void print_bar(const struct waterfall *waterfall, const struct tree_row *row,
    const struct pieces *pieces, int cells)
{
    char drawn[BAR_BYTES_MAX];
    struct bar bar = {waterfall->start_ns, waterfall->end_ns,
        cells < BAR_CELLS_MAX ? cells : BAR_CELLS_MAX, waterfall->terminal->unicode};
    bar_draw(&bar, row->span.span->start_ns, row->end_ns, drawn);
    printf("%s%s%s", pieces->left_edge, drawn, pieces->right_edge);
}

static void print_row(const struct waterfall *waterfall, const struct tree_row *row,
    const struct pieces *pieces, const struct layout *layout)
{
    const struct stored_span *span = row->span.span;
    char service[256], status[256];
    int taken =
        terminal_text(row->span.resource->service, service, sizeof service, SERVICE_COLUMNS_MAX);
    bool error = span->status == STATUS_CODE_ERROR;
    print_name(waterfall, row, pieces, layout);
    printf(" %s%*s ", service, layout->service - taken, "");
    print_bar(waterfall, row, pieces, layout->bar);
    status_text(span, status, sizeof status);
    const struct terminal *terminal = waterfall->terminal;
    printf("%*.1fms %s%s%s%s%s\n", DURATION_COLUMNS - 2, (double)row->taken_ns / 1e6,
        error ? terminal_red(terminal) : "", error ? pieces->error : "",
        error && *status ? " "
        : *status        ? "  "
                         : "",
        status, error ? terminal_plain(terminal) : "");
}

/* A text of several lines, as a stack is, stands below the name. */
static void print_lines(char *written, const char *indent, const char *key)
{
    char text[4096];
    bool is_one = strchr(written, '\n') == NULL;
    const char *before = is_one ? " " : "\n", *margin = is_one ? "" : "    ";
    printf("%s%s =", indent, key);
    for (char *line; (line = strsep(&written, "\n")) != NULL && (is_one || *line != '\0');) {
        terminal_text(line, text, sizeof text, -1);
        printf("%s%s%s%s", before, is_one ? "" : indent, margin, text);
    }
    printf("\n");
}

static void print_attribute(const struct attribute *attribute, const char *indent)
{
    char *written = NULL;
    size_t bytes;
    char *key = terminal_copy(attribute->key);
    if (attribute->value.kind == VALUE_TEXT) {
        written = duplicate(attribute->value.text);
    } else {
        /* Everything else reads well enough as JSON. */
        FILE *memory = open_memstream(&written, &bytes);
        struct json json = {.stream = memory};
        json_value(&json, NULL, &attribute->value);
        fclose(memory);
    }
    print_lines(written, indent, key);
    free(written);
    free(key);
}

static void print_links(const struct stored_span *span, const char *indent)
{
    for (size_t i = 0; i < span->link_count; i++) {
        const struct span_link *link = &span->links[i];
        printf("%slink = ", indent);
        hex_print(stdout, link->trace_id, sizeof link->trace_id);
        printf(" ");
        hex_print(stdout, link->span_id, sizeof link->span_id);
        printf("\n");
    }
    if (span->links_dropped > 0)
        printf("%sand %" PRIu32 " more links\n", indent, span->links_dropped);
}

static void print_attributes(const struct attributes *attributes, const char *indent)
{
    for (size_t i = 0; i < attributes->count; i++)
        print_attribute(&attributes->items[i], indent);
}

/* An event may lie before its span: the handshake does. */
static void print_events(const struct stored_span *span, const char *indent)
{
    for (size_t i = 0; i < span->event_count; i++) {
        const struct span_event *event = &span->events[i];
        char *name = terminal_copy(event->name);
        printf("%sevent = %s at %+.1f ms\n", indent, name,
            (double)(int64_t)(event->time_ns - span->start_ns) / 1e6);
        print_attributes(&event->attributes, indent - EVENT_INDENT);
        free(name);
    }
}

static void print_details(const struct tree_row *row)
{
    char margin[3 * DEPTH_MAX + 8 + EVENT_INDENT];
    snprintf(margin, sizeof margin, "%*s", depth_drawn(row) * 3 + 4 + EVENT_INDENT, "");
    const char *indent = margin + EVENT_INDENT;
    print_attributes(&row->span.span->attributes, indent);
    print_links(row->span.span, indent);
    print_events(row->span.span, indent);
}

void waterfall_print(const struct waterfall *waterfall)
{
    const struct pieces *pieces = waterfall->terminal->unicode ? &unicode_pieces : &ascii_pieces;
    struct layout layout = measure(waterfall);
    for (size_t i = 0; i < waterfall->count; i++) {
        print_row(waterfall, &waterfall->rows[i], pieces, &layout);
        if (waterfall->attributes)
            print_details(&waterfall->rows[i]);
    }
}
