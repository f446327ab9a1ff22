/* SPDX-License-Identifier: Apache-2.0 */
#include "tree.h"

#include <stdlib.h>
#include <string.h>

#include "cli.h"

/* Links between spans, all by index into spans, TREE_NONE where there is none. Children of a span
 * are a list in order of start. */
struct link {
    long parent, first_child, last_child, next;
    bool placed;
};

struct builder {
    const struct tree_span *spans;
    size_t count;
    struct link *links;
    long *by_id; /* indices sorted by span id */
    struct tree_row *rows;
    size_t row_count;
};

static int by_start(const void *a, const void *b)
{
    const struct stored_span *left = ((const struct tree_span *)a)->span;
    const struct stored_span *right = ((const struct tree_span *)b)->span;
    if (left->start_ns != right->start_ns)
        return left->start_ns < right->start_ns ? -1 : 1;
    /* At the same start the longer one encloses the other. */
    if (left->end_ns != right->end_ns)
        return left->end_ns > right->end_ns ? -1 : 1;
    return memcmp(left->span_id, right->span_id, 8);
}

static int by_id(const void *a, const void *b, void *context)
{
    const struct tree_span *spans = context;
    long left = *(const long *)a, right = *(const long *)b;
    int order = memcmp(spans[left].span->span_id, spans[right].span->span_id, 8);
    return order ? order : (left > right) - (left < right);
}

/* Of several with the same id the earliest. */
static long find(const struct builder *builder, const uint8_t span_id[8])
{
    size_t low = 0, high = builder->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (memcmp(builder->spans[builder->by_id[middle]].span->span_id, span_id, 8) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == builder->count)
        return TREE_NONE;
    long found = builder->by_id[low];
    return memcmp(builder->spans[found].span->span_id, span_id, 8) == 0 ? found : TREE_NONE;
}

static void attach(struct builder *builder, long child, long parent)
{
    struct link *links = builder->links;
    links[child].parent = parent;
    if (links[parent].last_child == TREE_NONE)
        links[parent].first_child = child;
    else
        links[links[parent].last_child].next = child;
    links[parent].last_child = child;
}

static void link_all(struct builder *builder)
{
    for (size_t i = 0; i < builder->count; i++) {
        builder->links[i] = (struct link){TREE_NONE, TREE_NONE, TREE_NONE, TREE_NONE, false};
        builder->by_id[i] = (long)i;
    }
    qsort_r(builder->by_id, builder->count, sizeof(long), by_id, (void *)builder->spans);
    for (size_t i = 0; i < builder->count; i++) {
        const struct stored_span *span = builder->spans[i].span;
        long parent = span->has_parent ? find(builder, span->parent_id) : TREE_NONE;
        if (parent != TREE_NONE && parent != (long)i)
            attach(builder, (long)i, parent);
    }
}

static long skip_placed(const struct builder *builder, long span)
{
    while (span != TREE_NONE && builder->links[span].placed)
        span = builder->links[span].next;
    return span;
}

static void place(struct builder *builder, long span, long parent_row)
{
    const struct link *link = &builder->links[span];
    const struct stored_span *stored = builder->spans[span].span;
    bool has_parent = stored->has_parent;
    builder->rows[builder->row_count++] = (struct tree_row){
        .span = builder->spans[span],
        .parent = parent_row,
        .depth = parent_row == TREE_NONE ? 0 : builder->rows[parent_row].depth + 1,
        .last = skip_placed(builder, link->next) == TREE_NONE,
        .parent_unseen = has_parent && parent_row == TREE_NONE,
        .repeats = 1,
        .end_ns = stored->end_ns,
        .taken_ns = stored->end_ns - stored->start_ns,
    };
    builder->links[span].placed = true;
}

/* Pre-order without recursion: a chain of spans may be as long as its sender liked. at_row[] is the
 * row of each placed span. */
static void place_tree(struct builder *builder, long root, long *at_row)
{
    long span = root;
    at_row[root] = (long)builder->row_count;
    place(builder, root, TREE_NONE);
    for (;;) {
        long next = skip_placed(builder, builder->links[span].first_child);
        while (next == TREE_NONE && span != root) {
            next = skip_placed(builder, builder->links[span].next);
            span = builder->links[span].parent;
        }
        if (next == TREE_NONE)
            return;
        long parent = builder->links[next].parent;
        at_row[next] = (long)builder->row_count;
        place(builder, next, at_row[parent]);
        span = next;
    }
}

static void place_all(struct builder *builder)
{
    long *at_row = allocate(builder->count * sizeof *at_row);
    for (size_t i = 0; i < builder->count; i++) {
        if (builder->links[i].parent == TREE_NONE)
            place_tree(builder, (long)i, at_row);
    }
    /* What no root reaches hangs on a ring of parents: cut it at its earliest span. */
    for (size_t i = 0; i < builder->count; i++) {
        if (!builder->links[i].placed)
            place_tree(builder, (long)i, at_row);
    }
    free(at_row);
}

struct tree_row *tree_build(struct tree_span *spans, size_t count)
{
    struct builder builder = {.spans = spans, .count = count};
    if (count)
        qsort(spans, count, sizeof *spans, by_start);
    builder.links = allocate(count * sizeof *builder.links);
    builder.by_id = allocate(count * sizeof *builder.by_id);
    builder.rows = allocate(count * sizeof *builder.rows);
    link_all(&builder);
    place_all(&builder);
    free(builder.links);
    free(builder.by_id);
    return builder.rows;
}
