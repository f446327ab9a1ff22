/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An exchange as a span, by the OpenTelemetry semantic conventions for HTTP. No http.route: the
 * path of a request is not its route, and only the framework knows the route.
 */
#include "http1_elastic.h"

#include <string.h>

#define LITERAL(text) ((struct slice){(const uint8_t *)(text), sizeof(text) - 1})

struct request {
    const struct facts *facts;
    struct describer *out;
    struct target target;
    struct slice peer; /* the address, as text */
    bool is_connect;
};

static struct slice slice_of(struct fact fact)
{
    return (struct slice){fact.text, fact.length};
}

static struct slice field(const struct facts *facts, enum field field)
{
    return slice_of(facts->texts[field]);
}

static bool is_equal(struct slice a, struct slice b)
{
    return a.length == b.length && (a.length == 0 || memcmp(a.text, b.text, a.length) == 0);
}

static void tell(struct describer *out, enum attribute attribute, struct slice text)
{
    if (text.length > 0) {
        out->text(out, attribute, text.text, text.length);
    }
}

static void append(struct describer *out, struct slice text)
{
    if (text.length > 0) {
        out->append(out, text.text, text.length);
    }
}

static bool is_in_list(struct slice method, const char *list)
{
    while (*list != '\0') {
        size_t length = 0;
        while (list[length] != '\0' && list[length] != ',') {
            length++;
        }
        if (length == method.length && memcmp(list, method.text, length) == 0) {
            return true;
        }
        list += length + (list[length] == ',');
    }
    return false;
}

static bool is_known_method(const struct facts *facts, struct slice method)
{
    static const char standard[] = "GET,POST,PUT,HEAD,DELETE,OPTIONS,PATCH,CONNECT,TRACE,QUERY";
    bool is_own = facts->known_methods != NULL && facts->known_methods[0] != '\0';
    return method.length > 0 && is_in_list(method, is_own ? facts->known_methods : standard);
}

/* The path is no part of the name: a name must not have more values than somebody can count. */
static void tell_method(const struct request *request, bool has_name)
{
    struct describer *out = request->out;
    struct slice method = field(request->facts, FIELD_METHOD);
    bool is_known = is_known_method(request->facts, method);
    if (!has_name) {
        out->name(
            out, is_known ? method.text : (const uint8_t *)"HTTP", is_known ? method.length : 4);
    }
    if (is_known) {
        tell(out, ATTRIBUTE_HTTP_REQUEST_METHOD, method);
        return;
    }
    tell(out, ATTRIBUTE_HTTP_REQUEST_METHOD, LITERAL("_OTHER"));
    tell(out, ATTRIBUTE_HTTP_REQUEST_METHOD_ORIGINAL, method);
}

static struct slice transport_scheme(const struct request *request)
{
    return request->facts->is_secure ? LITERAL("https") : LITERAL("http");
}

static struct slice peer_scheme(const struct request *request)
{
    return request->target.scheme.length > 0 ? request->target.scheme : transport_scheme(request);
}

/* The scheme that the client at the far end of all proxies used. */
static struct slice original_scheme(const struct request *request)
{
    const struct facts *facts = request->facts;
    struct slice scheme = forwarded_find(field(facts, FIELD_FORWARDED), "proto");
    if (scheme.length == 0) {
        scheme = list_first(field(facts, FIELD_X_FORWARDED_PROTO));
    }
    return scheme.length > 0 ? scheme : peer_scheme(request);
}

static int32_t default_port(struct slice scheme)
{
    if (slice_is_word(scheme, "https")) {
        return 443;
    }
    return slice_is_word(scheme, "http") ? 80 : 0;
}

static void tell_server_at(struct describer *out, struct slice address, int32_t port)
{
    if (address.length == 0) {
        return;
    }
    tell(out, ATTRIBUTE_SERVER_ADDRESS, address);
    if (port > 0) {
        out->number(out, ATTRIBUTE_SERVER_PORT, port);
    }
}

static void tell_server(
    struct describer *out, const struct authority *authority, struct slice scheme)
{
    int32_t port = authority->port > 0 ? authority->port : default_port(scheme);
    tell_server_at(out, authority->host, port);
}

/* An absolute-form outranks Host: RFC 9112, 3.2.2. */
static struct authority host(const struct request *request)
{
    if (request->target.authority.whole.length > 0) {
        return request->target.authority;
    }
    return authority_parse(field(request->facts, FIELD_HOST));
}

static struct authority original_host(const struct request *request)
{
    const struct facts *facts = request->facts;
    struct slice text = forwarded_find(field(facts, FIELD_FORWARDED), "host");
    if (text.length == 0) {
        text = list_first(field(facts, FIELD_X_FORWARDED_HOST));
    }
    return text.length > 0 ? authority_parse(text) : host(request);
}

/* RFC 7239, 6: a node may also be "unknown" or a made-up _name, which are no addresses. */
static struct slice node_address(struct slice node)
{
    if (node.length == 0 || node.text[0] == '_' || slice_is_word(node, "unknown")) {
        return (struct slice){0};
    }
    return authority_parse(node).host;
}

static void tell_client(const struct request *request)
{
    const struct facts *facts = request->facts;
    struct slice address = node_address(forwarded_find(field(facts, FIELD_FORWARDED), "for"));
    if (address.length == 0) {
        address = node_address(list_first(field(facts, FIELD_X_FORWARDED_FOR)));
    }
    if (address.length == 0) {
        address = request->peer;
    }
    tell(request->out, ATTRIBUTE_CLIENT_ADDRESS, address);
}

static void tell_query(const struct request *request)
{
    struct describer *out = request->out;
    if (request->target.query.length > 0) {
        out->open(out, ATTRIBUTE_URL_QUERY);
        query_append(out, request->target.query);
        out->close(out);
    }
}

static void describe_server(const struct request *request)
{
    struct slice scheme = original_scheme(request);
    struct authority authority = original_host(request);
    struct slice path = request->target.path;
    bool is_rootless = path.length == 0 && !request->is_connect;
    tell(request->out, ATTRIBUTE_URL_SCHEME, scheme);
    tell(request->out, ATTRIBUTE_URL_PATH, is_rootless ? LITERAL("/") : path);
    tell_query(request);
    tell_server(request->out, &authority, scheme);
    tell_client(request);
    tell(request->out, ATTRIBUTE_USER_AGENT_ORIGINAL, field(request->facts, FIELD_USER_AGENT));
}

static void append_port(struct describer *out, int32_t port)
{
    char digits[10];
    size_t at = sizeof digits;
    do {
        digits[--at] = (char)('0' + port % 10);
        port /= 10;
    } while (port > 0);
    out->append(out, ":", 1);
    out->append(out, digits + at, sizeof digits - at);
}

/* For HTTP/1.0 without Host: the address that was dialled stands for the name. */
static void append_peer(const struct request *request, struct slice scheme)
{
    struct describer *out = request->out;
    struct slice address = request->peer;
    int32_t port = request->facts->peer_port;
    bool is_ipv6 = slice_find(address, ':') < address.length;
    append(out, is_ipv6 ? LITERAL("[") : LITERAL(""));
    append(out, address);
    append(out, is_ipv6 ? LITERAL("]") : LITERAL(""));
    if (port > 0 && port != default_port(scheme)) {
        append_port(out, port);
    }
}

static void append_authority(
    const struct request *request, const struct authority *authority, struct slice scheme)
{
    if (authority->whole.length == 0) {
        append_peer(request, scheme);
        return;
    }
    if (authority->has_credentials) {
        append(request->out, LITERAL("REDACTED:REDACTED@"));
    }
    append(request->out, authority->whole);
}

/* RFC 9112, 3.3: the target URI. CONNECT's is a mere authority; that of OPTIONS * has no path. */
static void tell_url(const struct request *request, const struct authority *authority)
{
    struct describer *out = request->out;
    struct slice scheme = peer_scheme(request);
    out->open(out, ATTRIBUTE_URL_FULL);
    if (!request->is_connect) {
        append(out, scheme);
        append(out, LITERAL("://"));
    }
    append_authority(request, authority, scheme);
    if (!is_equal(request->target.path, LITERAL("*"))) {
        append(out, request->target.path);
    }
    if (request->target.query.length > 0) {
        append(out, LITERAL("?"));
        query_append(out, request->target.query);
    }
    out->close(out);
}

static void describe_client(const struct request *request)
{
    struct authority authority = host(request);
    tell_url(request, &authority);
    if (authority.host.length == 0) {
        tell_server_at(request->out, request->peer, request->facts->peer_port);
        return;
    }
    tell_server(request->out, &authority, peer_scheme(request));
}

static void describe_network(const struct request *request)
{
    const struct facts *facts = request->facts;
    struct describer *out = request->out;
    int64_t version = facts->numbers[FIELD_VERSION];
    char text[] = {'1', '.', (char)('0' + version % 10)};
    tell(out, ATTRIBUTE_NETWORK_PEER_ADDRESS, request->peer);
    if (request->peer.length > 0 && facts->peer_port > 0) {
        out->number(out, ATTRIBUTE_NETWORK_PEER_PORT, facts->peer_port);
    }
    if (version >= 10 && version <= 19) {
        out->text(out, ATTRIBUTE_NETWORK_PROTOCOL_VERSION, text, sizeof text);
    }
}

/* The server did its work when it answered 4xx: that is an error of the client alone. */
static bool is_error_status(const struct facts *facts)
{
    return facts->has_response && facts->numbers[FIELD_STATUS] >= (facts->is_server ? 500 : 400);
}

static void describe_outcome(const struct request *request, bool is_database)
{
    const struct facts *facts = request->facts;
    struct describer *out = request->out;
    int64_t status = facts->numbers[FIELD_STATUS];
    char digits[] = {
        (char)('0' + status / 100 % 10), (char)('0' + status / 10 % 10), (char)('0' + status % 10)};
    struct slice error = slice_of(facts->error);
    if (facts->has_response && is_database) {
        out->text(out, ATTRIBUTE_DB_RESPONSE_STATUS_CODE, digits, sizeof digits);
    } else if (facts->has_response) {
        out->number(out, ATTRIBUTE_HTTP_RESPONSE_STATUS_CODE, status);
    }
    if (is_error_status(facts)) {
        error = (struct slice){(const uint8_t *)digits, sizeof digits};
    }
    if (error.length > 0) {
        tell(out, ATTRIBUTE_ERROR_TYPE, error);
        out->error(out);
    }
}

/* What comes first decides which metric counts it. */
__attribute__((noinline)) static bool describe_command(const struct request *request)
{
    struct fact system = http1_elastic_system(request->facts);
    if (system.length == 0) {
        return false;
    }
    struct authority authority = host(request);
    bool is_named = authority.host.length > 0;
    int32_t port = authority.port > 0 ? authority.port : default_port(peer_scheme(request));
    http1_elastic_describe(request->facts, system, request->target.path,
        is_named ? authority.host : request->peer, is_named ? port : request->facts->peer_port,
        request->out);
    return true;
}

void http1_describe(const struct facts *facts, struct describer *out)
{
    bool is_connect = is_equal(field(facts, FIELD_METHOD), LITERAL("CONNECT"));
    struct request request = {
        .facts = facts,
        .out = out,
        .target = target_parse(field(facts, FIELD_TARGET), is_connect),
        .peer = slice_of(facts->peer_address),
        .is_connect = is_connect,
    };
    struct fact path = {request.target.path.text, (uint32_t)request.target.path.length};
    bool is_database =
        __builtin_expect(http1_elastic_may_be(facts), 0) && describe_command(&request);
    bool is_message = !facts->is_server && !is_database && http1_cloud_describe(facts, path, out);
    tell_method(&request, is_message || is_database);
    if (facts->is_server) {
        describe_server(&request);
    } else {
        describe_client(&request);
    }
    describe_network(&request);
    describe_outcome(&request, is_database);
}
