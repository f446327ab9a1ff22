/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Elasticsearch and OpenSearch: a request as a command, by OpenTelemetry's semantic conventions for
 * Elasticsearch (1.44.0): which endpoint it is for, by its method and path.
 *
 * db.query.text is a search's body, with `?` for each value, one for several in an array. Names
 * stand as they are.
 */
#include "hex.h"
#include "database.h"
#include "http1_elastic.h"

#include <string.h>

enum {
    PARTS_MAX = 4, /* parameters in a path */
    NAME_BYTES_MAX_TOLD = 255
};

/* --- whose request it is -----------------------------------------------------------------------
 */

static const struct fact elasticsearch = DATABASE_TEXT("elasticsearch");
static const struct fact opensearch = DATABASE_TEXT("opensearch");

static bool begins(struct fact text, const char *literal, uint32_t length)
{
    return text.length >= length && memcmp(text.text, literal, length) == 0;
}

#define BEGINS(text, literal) begins(text, literal, sizeof(literal) - 1)

/* "Elasticsearch", "OpenSearch/2.11.0 (opensearch)" */
static struct fact system_of_product(struct fact product)
{
    static const struct fact none;
    if (BEGINS(product, "Elasticsearch")) {
        return elasticsearch;
    }
    return BEGINS(product, "OpenSearch/") ? opensearch : none;
}

/* elasticsearch-py/8.11.0 (Python/3.11.2; ...): what their clients in all languages begin with. */
__attribute__((cold)) static struct fact system_of_client(struct fact agent)
{
    static const char languages[] = "/py/php/ruby/js/java/net/rs/go/perl/";
    if (BEGINS(agent, "go-elasticsearch/")) {
        return elasticsearch;
    }
    struct fact system = BEGINS(agent, "elasticsearch-") ? elasticsearch : opensearch;
    if (!begins(agent, (const char *)system.text, system.length) || agent.length <= system.length ||
        agent.text[system.length] != '-') {
        return (struct fact){0};
    }
    char word[8] = "/"; /* /py/ */
    struct fact rest = {agent.text + system.length + 1, agent.length - system.length - 1};
    const uint8_t *slash = memchr(rest.text, '/', rest.length);
    size_t length = slash != NULL ? (size_t)(slash + 1 - rest.text) : sizeof word;
    if (length < 3 || length >= sizeof word) {
        return (struct fact){0};
    }
    memcpy(word + 1, rest.text, length);
    bool is_known = memmem(languages, sizeof languages - 1, word, length + 1) != NULL;
    return is_known ? system : (struct fact){0};
}

/* The answer knows best. */
struct fact http1_elastic_system(const struct facts *facts)
{
    struct fact product = facts->texts[FIELD_COLLECTION], agent = facts->texts[FIELD_USER_AGENT];
    struct fact system = {0};
    if (product.length > 0) {
        system = system_of_product(product);
    }
    if (system.length == 0 && (facts->numbers[FIELD_ROWS] & ELASTIC_MEDIA_TYPE) != 0) {
        return elasticsearch;
    }
    return system.length == 0 ? system_of_client(agent) : system;
}

/* --- which endpoint it is ----------------------------------------------------------------------
 */

struct text {
    size_t length;
    char bytes[NAME_BYTES_MAX_TOLD];
};

struct part {
    enum attribute attribute;
    struct slice value;
};

struct endpoint {
    const uint8_t *name; /* as the tree has it */
    struct part parts[PARTS_MAX];
    uint8_t count;
    uint8_t method; /* a bit, as the tree has it */
};

enum { METHOD_GET = 1, METHOD_HEAD = 16 };

static uint8_t method_of(struct fact method)
{
    static const char methods[][7] = {"GET", "POST", "PUT", "DELETE", "HEAD"};
    static const uint8_t lengths[] = {3, 4, 3, 6, 4};
    for (unsigned i = 0; i < sizeof lengths; i++) {
        if (method.length == lengths[i] && begins(method, methods[i], lengths[i])) {
            return (uint8_t)(1u << i);
        }
    }
    return 0;
}

static void append_bytes(struct text *text, const void *bytes, size_t length)
{
    size_t room = sizeof text->bytes - text->length;
    size_t taken = length < room ? length : room;
    if (taken > 0) {
        memcpy(text->bytes + text->length, bytes, taken);
    }
    text->length += taken;
}

/* What a byte of the tree stands for. Pairs are made of what was there before them. */
static void expand(uint8_t byte, struct text *text)
{
    if (byte < ELASTIC_PAIR_FIRST) {
        append_bytes(text, &byte, 1);
        return;
    }
    expand(http1_elastic_pairs[byte - ELASTIC_PAIR_FIRST][0], text);
    expand(http1_elastic_pairs[byte - ELASTIC_PAIR_FIRST][1], text);
}

/* Takes from `rest` what a byte of the tree stands for, if that is how it begins. */
static bool follow(uint8_t byte, struct slice *rest)
{
    if (byte < ELASTIC_PAIR_FIRST) {
        bool is_next = rest->length > 0 && rest->text[0] == byte;
        *rest = is_next ? slice_from(*rest, 1) : *rest;
        return is_next;
    }
    return follow(http1_elastic_pairs[byte - ELASTIC_PAIR_FIRST][0], rest) &&
           follow(http1_elastic_pairs[byte - ELASTIC_PAIR_FIRST][1], rest);
}

static bool is_text(const uint8_t *label, struct slice part)
{
    for (; *label != 0; label++) {
        if (!follow(*label, &part)) {
            return false;
        }
    }
    return part.length == 0;
}

static const uint8_t *behind(const uint8_t *text)
{
    while (*text != 0) {
        text++;
    }
    return text + 1;
}

/* Names begin with no `_`, but for _all: what else does may be an endpoint that we do not know.
 * Those that are given by others may. */
static bool is_value(struct slice part, enum attribute attribute)
{
    bool is_all = part.length == 4 && memcmp(part.text, "_all", 4) == 0;
    bool is_free = attribute == ATTRIBUTE_DB_OPERATION_PARAMETER_ID ||
                   attribute == ATTRIBUTE_DB_OPERATION_PARAMETER_SCROLL_ID ||
                   attribute == ATTRIBUTE_DB_OPERATION_PARAMETER_NODE_ID;
    return part.length > 0 && (part.text[0] != '_' || is_all || is_free);
}

/* Does the node at `node` stand for this part? A parameter is noted. */
static bool is_of(const uint8_t *node, struct slice part, struct endpoint *endpoint)
{
    if (!(node[0] & ELASTIC_IS_PARAMETER)) {
        return is_text(node + 1, part);
    }
    enum attribute attribute = (enum attribute)http1_elastic_parameters[node[1]];
    if (!is_value(part, attribute) || endpoint->count == PARTS_MAX) {
        return false;
    }
    endpoint->parts[endpoint->count++] = (struct part){attribute, part};
    return true;
}

static bool find_method(const uint8_t *node, uint8_t method, struct endpoint *endpoint)
{
    unsigned count = node[0] & ~ELASTIC_IS_PARAMETER;
    const uint8_t *at = node[0] & ELASTIC_IS_PARAMETER ? node + 2 : behind(node + 1);
    for (; count > 0; count--, at = behind(at + 1)) {
        if (at[0] & method) {
            endpoint->name = at + 1;
            return true;
        }
    }
    return false;
}

static bool find_operation(const uint8_t *node, struct endpoint *endpoint)
{
    return find_method(node, endpoint->method, endpoint) ||
           (endpoint->method == METHOD_HEAD && find_method(node, METHOD_GET, endpoint));
}

static const uint8_t *nodes_below(const uint8_t *node)
{
    unsigned count = node[0] & ~ELASTIC_IS_PARAMETER;
    const uint8_t *at = node[0] & ELASTIC_IS_PARAMETER ? node + 2 : behind(node + 1);
    for (; count > 0; count--) {
        at = behind(at + 1);
    }
    return at;
}

/* Of the nodes from `at` to `end`. What a text leads to comes before what a parameter does. */
static bool find(
    const uint8_t *at, const uint8_t *end, struct slice path, struct endpoint *endpoint)
{
    size_t slash = slice_find(path, '/');
    struct slice part = slice_until(path, slash), rest = slice_from(path, slash + 1);
    uint8_t count = endpoint->count;
    while (at < end) {
        size_t size = at[0] & 0x7f;
        size |= at[0] & 0x80 ? (size_t)at[1] << 7 : 0;
        const uint8_t *node = at + (at[0] & 0x80 ? 2 : 1);
        at = node + size;
        if (is_of(node, part, endpoint) &&
            (rest.length == 0 ? find_operation(node, endpoint)
                              : find(nodes_below(node), at, rest, endpoint))) {
            return true;
        }
        endpoint->count = count;
    }
    return false;
}

/* --- how it is told ----------------------------------------------------------------------------
 */

/* What stands at `at`: %2C is a comma. Answers how long that is. */
static size_t decode(struct slice text, size_t at, uint8_t *byte)
{
    const uint8_t *here = text.text + at;
    *byte = here[0];
    if (here[0] != '%' || text.length - at < 3 || hex_value(here[1]) < 0 ||
        hex_value(here[2]) < 0) {
        return 1;
    }
    *byte = (uint8_t)(hex_value(here[1]) * 16 + hex_value(here[2]));
    return 3;
}

static void tell_part(struct describer *out, enum attribute attribute, struct slice value)
{
    uint8_t byte;
    out->open(out, attribute);
    for (size_t at = 0; at < value.length;) {
        at += decode(value, at, &byte);
        out->append(out, &byte, 1);
    }
    out->close(out);
}

/* The index; absent if there is none, or all of them are meant. */
static struct slice index_of(const struct endpoint *endpoint)
{
    for (unsigned i = 0; i < endpoint->count; i++) {
        struct slice value = endpoint->parts[i].value;
        bool is_all = (value.length == 1 && value.text[0] == '*') ||
                      (value.length == 4 && memcmp(value.text, "_all", 4) == 0);
        if (endpoint->parts[i].attribute == ATTRIBUTE_DB_OPERATION_PARAMETER_INDEX && !is_all) {
            return value;
        }
    }
    return (struct slice){0};
}

static bool is_batch(const struct text *name, const struct facts *facts)
{
    bool is_bulk = name->length >= 4 && memcmp(name->bytes, "bulk", 4) == 0;
    return is_bulk && facts->numbers[FIELD_BATCH] > 1;
}

/* Several of one kind have it behind their own. */
static void append_operation(
    struct text *text, const struct facts *facts, const struct endpoint *endpoint)
{
    static const char kinds[][8] = {" index", " create", " update", " delete"};
    unsigned kind = facts->numbers[FIELD_ROWS] & (ELASTIC_MEDIA_TYPE - 1);
    for (const uint8_t *at = endpoint->name; *at != 0; at++) {
        expand(*at, text);
    }
    for (unsigned i = 0; i < sizeof kinds / sizeof kinds[0] && is_batch(text, facts); i++) {
        if (kind == 1u << i) {
            append_bytes(text, kinds[i], i == 0 ? 6 : 7);
        }
    }
}

static void append_target(struct text *text, struct slice index, struct slice server, int32_t port)
{
    uint8_t byte, digits[DATABASE_DIGITS_MAX];
    if (text->length > 0) {
        append_bytes(text, " ", 1);
    }
    for (size_t at = 0; at < index.length;) {
        at += decode(index, at, &byte);
        append_bytes(text, &byte, 1);
    }
    if (index.length > 0) {
        return;
    }
    append_bytes(text, server.text, server.length);
    if (port > 0) {
        struct fact number = database_decimal(port, digits);
        append_bytes(text, ":", 1);
        append_bytes(text, number.text, number.length);
    }
}

/* --- what a search asks for --------------------------------------------------------------------
 */

struct query {
    const uint8_t *at, *end;
    size_t length;
    bool is_full;
    char told[ELASTIC_TOLD_BYTES_MAX];
};

static void put(struct query *query, const uint8_t *text, size_t length)
{
    query->is_full |= length > sizeof query->told - query->length;
    if (!query->is_full) {
        memcpy(query->told + query->length, text, length);
        query->length += length;
    }
}

static void put_value(struct query *query)
{
    bool follows = query->length >= 2 && memcmp(query->told + query->length - 2, "?,", 2) == 0;
    query->length -= follows ? 2 : 0;
    put(query, (const uint8_t *)"?", 1);
}

static bool is_structure(uint8_t byte)
{
    return memchr("{}[],:", byte, 6) != NULL;
}

static bool is_blank(uint8_t byte)
{
    return byte <= ' ';
}

static void skip_blanks(struct query *query)
{
    while (query->at < query->end && is_blank(*query->at)) {
        query->at++;
    }
}

/* A name, if a colon follows; one that is cut off is neither. */
static void put_string(struct query *query)
{
    const uint8_t *from = query->at++;
    while (query->at < query->end && *query->at != '"') {
        query->at += *query->at == '\\' && query->end - query->at > 1 ? 2 : 1;
    }
    if (query->at >= query->end) {
        query->at = query->end;
        return;
    }
    size_t length = (size_t)(++query->at - from);
    skip_blanks(query);
    if (query->at < query->end && *query->at == ':') {
        put(query, from, length);
    } else {
        put_value(query);
    }
}

static void put_next(struct query *query)
{
    uint8_t byte = *query->at;
    if (byte == '"') {
        put_string(query);
    } else if (is_structure(byte)) {
        put(query, query->at++, 1);
    } else {
        while (query->at < query->end && !is_structure(*query->at) && !is_blank(*query->at) &&
               *query->at != '"') {
            query->at++;
        }
        put_value(query);
    }
}

static void tell_query(struct fact text, const struct text *operation, struct describer *out)
{
    if (text.length == 0 ||
        !http1_elastic_wants((const uint8_t *)operation->bytes, operation->length)) {
        return;
    }
    struct query query = {.at = text.text, .end = text.text + text.length};
    for (skip_blanks(&query); query.at < query.end && !query.is_full; skip_blanks(&query)) {
        put_next(&query);
    }
    out->text(out, ATTRIBUTE_DB_QUERY_TEXT, query.told, query.length);
}

static void tell_endpoint(const struct facts *facts, const struct endpoint *endpoint,
    const struct text *operation, struct describer *out)
{
    struct slice index = index_of(endpoint);
    out->text(out, ATTRIBUTE_DB_OPERATION_NAME, operation->bytes, operation->length);
    if (index.length > 0) {
        tell_part(out, ATTRIBUTE_DB_COLLECTION_NAME, index);
    }
    for (unsigned i = 0; i < endpoint->count; i++) {
        tell_part(out, endpoint->parts[i].attribute, endpoint->parts[i].value);
    }
    tell_query(facts->texts[FIELD_QUERY], operation, out);
    if (is_batch(operation, facts)) {
        out->number(out, ATTRIBUTE_DB_OPERATION_BATCH_SIZE, facts->numbers[FIELD_BATCH]);
    }
}

__attribute__((cold)) void http1_elastic_describe(const struct facts *facts, struct fact system,
    struct slice path, struct slice server, int32_t port, struct describer *out)
{
    const uint8_t *end = http1_elastic_tree + http1_elastic_tree_bytes;
    struct fact cluster = facts->texts[FIELD_NAMESPACE];
    struct endpoint endpoint = {.method = method_of(facts->texts[FIELD_METHOD])};
    struct text name = {0};
    if (find(http1_elastic_tree, end, path, &endpoint)) {
        append_operation(&name, facts, &endpoint);
    }
    struct text operation = name;
    append_target(&name, index_of(&endpoint), server, port);
    out->name(out, name.bytes, name.length);
    out->text(out, ATTRIBUTE_DB_SYSTEM_NAME, system.text, system.length);
    if (cluster.length > 0) {
        out->text(out, ATTRIBUTE_DB_NAMESPACE, cluster.text, cluster.length);
    }
    if (operation.length > 0) {
        tell_endpoint(facts, &endpoint, &operation, out);
    }
}
