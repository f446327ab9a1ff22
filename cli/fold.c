/* SPDX-License-Identifier: Apache-2.0 */
#include "fold.h"

#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "title.h"

const char *statement_of(const struct stored_span *span)
{
    if (attribute_find(span, "db.system.name") == NULL)
        return NULL;
    const struct value *text = attribute_find(span, "db.query.text");
    return text != NULL && text->kind == VALUE_TEXT ? text->text : span->name;
}

/* A row that may be folded. */
struct leaf {
    struct tree_row *row;
    const char *statement;
};

static int compare(const struct leaf *left, const struct leaf *right)
{
    const struct stored_span *one = left->row->span.span, *other = right->row->span.span;
    if (left->row->parent != right->row->parent)
        return left->row->parent < right->row->parent ? -1 : 1;
    if (one->status != other->status)
        return one->status < other->status ? -1 : 1;
    int order = strcmp(left->statement, right->statement);
    return order != 0
               ? order
               : strcmp(left->row->span.resource->service, right->row->span.resource->service);
}

static int by_likeness(const void *a, const void *b)
{
    const struct leaf *left = a, *right = b;
    int order = compare(left, right);
    return order != 0 ? order : (left->row > right->row) - (left->row < right->row);
}

static size_t find_leaves(struct tree_row *rows, size_t count, struct leaf *leaves)
{
    size_t found = 0;
    for (size_t i = 0; i < count; i++) {
        bool has_children = i + 1 < count && rows[i + 1].parent == (long)i;
        const char *statement = statement_of(rows[i].span.span);
        if (rows[i].parent != TREE_NONE && !has_children && statement != NULL)
            leaves[found++] = (struct leaf){&rows[i], statement};
    }
    qsort(leaves, found, sizeof(*leaves), by_likeness);
    return found;
}

static void fold(struct tree_row *first, struct tree_row *other)
{
    first->repeats++;
    first->taken_ns += other->taken_ns;
    first->end_ns = other->end_ns > first->end_ns ? other->end_ns : first->end_ns;
    other->repeats = 0;
}

/* Parents come before their rows, and are never folded. */
static size_t close_gaps(struct tree_row *rows, size_t count)
{
    long *place = allocate(count * sizeof(*place)), *last_child = allocate(count * sizeof(*place));
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        if (rows[i].repeats == 0)
            continue;
        long parent = rows[i].parent;
        place[i] = (long)kept;
        last_child[kept] = TREE_NONE;
        rows[kept] = rows[i];
        if (parent != TREE_NONE) {
            rows[kept].parent = place[parent];
            last_child[place[parent]] = (long)kept;
        }
        kept++;
    }
    for (size_t i = 0; i < kept; i++) {
        if (last_child[i] != TREE_NONE)
            rows[last_child[i]].last = true;
    }
    free(place);
    free(last_child);
    return kept;
}

size_t rows_fold(struct tree_row *rows, size_t count)
{
    struct leaf *leaves = allocate(count * sizeof(*leaves));
    size_t found = find_leaves(rows, count, leaves);
    for (size_t first = 0, i = 1; i < found; i++) {
        if (compare(&leaves[first], &leaves[i]) == 0)
            fold(leaves[first].row, leaves[i].row);
        else
            first = i;
    }
    free(leaves);
    return close_gaps(rows, count);
}
