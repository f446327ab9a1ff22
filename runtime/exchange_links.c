/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Links of an exchange. Few are in it; with one more they move to a block of texts, whose index
 * then stands where they were.
 *
 *   link_count <= CANDIDATES_MAX: exchange->links;  else: of the block
 *   dropped > 0 => link_count == SPAN_LINKS_MAX
 */
#include <string.h>

#include "exchange.h"
#include "propagators.h"
#include "span.h"
#include "text_pool.h"

/* What was seen is known by 64 bits of it, whether it became a link or not. */
enum { SEEN_SLOTS = 1600, SEEN_MAX = 1280 };

struct many_links {
    struct trace_link links[SPAN_LINKS_MAX];
    uint32_t dropped; /* behind the links, as in a record */
    uint32_t seen_count;
    uint64_t seen[SEEN_SLOTS]; /* 0: free */
};

_Static_assert(sizeof(struct many_links) <= TEXT_BIG_BYTES, "many links fit their block");
_Static_assert(offsetof(struct many_links, dropped) == SPAN_LINKS_MAX * sizeof(struct trace_link),
    "nothing stands between");

static uint32_t block_of(const struct exchange *exchange)
{
    uint32_t index;
    memcpy(&index, exchange->links, sizeof(index));
    return index;
}

static struct many_links *many(const struct exchange *exchange)
{
    return (struct many_links *)text_block(true, block_of(exchange));
}

static bool is_many(const struct exchange *exchange)
{
    return exchange->link_count > CANDIDATES_MAX;
}

static uint64_t mixed(uint64_t word)
{
    word *= 0x9e3779b97f4a7c15u;
    return word ^ word >> 32;
}

static uint64_t seen_as(const struct trace_link *link)
{
    uint64_t words[3];
    memcpy(words, link, sizeof(words));
    return mixed(mixed(mixed(words[0]) ^ words[1]) ^ words[2]) | 1;
}

/* False: it was seen before. When there is no room to know more, all that come are taken as new. */
static bool see(struct many_links *many, const struct trace_link *link)
{
    uint64_t word = seen_as(link);
    uint32_t at = (uint32_t)((word >> 32) * SEEN_SLOTS >> 32);
    for (; many->seen[at] != 0; at = (at + 1) % SEEN_SLOTS)
        if (many->seen[at] == word)
            return false;
    if (many->seen_count < SEEN_MAX) {
        many->seen[at] = word;
        many->seen_count++;
    }
    return true;
}

static void add_to_many(struct exchange *exchange, const struct trace_link *link)
{
    struct many_links *all = many(exchange);
    if (!see(all, link))
        return;
    if (exchange->link_count < SPAN_LINKS_MAX)
        all->links[exchange->link_count++] = *link;
    else
        all->dropped++;
}

static bool move(struct exchange *exchange)
{
    uint32_t index = text_take(true);
    if (index == 0)
        return false;
    struct many_links *all = (struct many_links *)text_block(true, index);
    memset(&all->dropped, 0, sizeof(*all) - offsetof(struct many_links, dropped));
    memcpy(all->links, exchange->links, sizeof(exchange->links));
    for (unsigned i = 0; i < CANDIDATES_MAX; i++)
        (void)see(all, &all->links[i]);
    memcpy(exchange->links, &index, sizeof(index));
    return true;
}

/* Of the ninth, which makes link_count say where they are. */
static void move_and_add(struct exchange *exchange, const struct trace_link *link)
{
    if (!move(exchange)) {
        counter_add(COUNTER_ATTRIBUTES_TRUNCATED, 1);
        return;
    }
    (void)see(many(exchange), link);
    many(exchange)->links[exchange->link_count++] = *link;
}

static void add_to_few(struct exchange *exchange, const struct trace_link *link)
{
    for (unsigned i = 0; i < exchange->link_count; i++)
        if (memcmp(&exchange->links[i], link, sizeof(*link)) == 0)
            return;
    if (exchange->link_count < CANDIDATES_MAX)
        exchange->links[exchange->link_count++] = *link;
    else
        move_and_add(exchange, link);
}

/* What was told of its context is needed no more. */
static bool take_context(struct exchange *exchange, struct trace_ids *ids)
{
    struct extracted extracted;
    struct slice context = {
        exchange_text(exchange, FIELD_CONTEXT), exchange->texts[FIELD_CONTEXT].length};
    propagators_extract(&(struct carried){.context = context}, &extracted);
    exchange_forget_last(exchange, FIELD_CONTEXT);
    *ids = extracted.ids;
    return extracted.found == FOUND_PARENT;
}

void exchange_link(struct exchange *exchange, const uint8_t *traceparent, size_t length)
{
    struct trace_ids ids;
    struct trace_link link;
    bool is_found =
        length == 0 ? take_context(exchange, &ids) : traceparent_parse(traceparent, length, &ids);
    if (!is_found)
        return;
    memcpy(link.trace_id, ids.trace_id, sizeof(link.trace_id));
    memcpy(link.span_id, ids.span_id, sizeof(link.span_id));
    if (is_many(exchange))
        add_to_many(exchange, &link);
    else
        add_to_few(exchange, &link);
}

struct fact exchange_many_links(const struct exchange *exchange)
{
    const struct many_links *all = many(exchange);
    return (struct fact){
        (const uint8_t *)all->links, exchange->link_count * (uint32_t)sizeof(struct trace_link) +
                                         (all->dropped > 0 ? (uint32_t)sizeof(all->dropped) : 0)};
}

void exchange_give_links(struct exchange *exchange)
{
    if (is_many(exchange))
        text_give(true, block_of(exchange));
    exchange->link_count = 0;
}
