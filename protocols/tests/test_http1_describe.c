/* SPDX-License-Identifier: Apache-2.0 */
/* Finished exchanges and the spans that tell them, as text: name, then key=value each. */
#include "protocol.h"
#include "tap.h"
#include "writer.h"

#include <string.h>

static struct fact fact(const char *text)
{
    return (struct fact){(const uint8_t *)text, (uint32_t)strlen(text)};
}

static void set(struct facts *facts, enum field field, const char *text)
{
    facts->texts[field] = fact(text);
}

static struct facts facts_of(bool is_server, const char *method, const char *target)
{
    struct facts facts = {
        .is_server = is_server, .peer_address = fact("192.0.2.9"), .peer_port = 5000};
    set(&facts, FIELD_METHOD, method);
    set(&facts, FIELD_TARGET, target);
    facts.numbers[FIELD_VERSION] = 11;
    return facts;
}

static void answer(struct facts *facts, int status)
{
    facts->has_response = true;
    facts->numbers[FIELD_STATUS] = status;
}

static void check(const struct facts *facts, const char *expected, const char *what)
{
    const char *told = writer_tell(protocol_rows[0], facts);
    if (!CHECK(strcmp(told, expected) == 0, "%s", what)) {
        fprintf(stderr, "%s", told);
    }
}

#define NETWORK \
    "network.peer.address=192.0.2.9\nnetwork.peer.port=5000\nnetwork.protocol.version=1.1\n"

static void check_plain_server(void)
{
    struct facts facts = facts_of(true, "GET", "/cart?id=1");
    set(&facts, FIELD_HOST, "shop.example:8080");
    set(&facts, FIELD_USER_AGENT, "curl/7.88.1");
    answer(&facts, 200);
    check(&facts,
        "GET\nhttp.request.method=GET\nurl.scheme=http\nurl.path=/cart\nurl.query=id=1\n"
        "server.address=shop.example\nserver.port=8080\nclient.address=192.0.2.9\n"
        "user_agent.original=curl/7.88.1\n" NETWORK "http.response.status_code=200\n",
        "a server's plain request");
}

static void check_forwarded_server(void)
{
    struct facts facts = facts_of(true, "GET", "/");
    set(&facts, FIELD_HOST, "inside:8080");
    set(&facts, FIELD_FORWARDED,
        "For=\"[2001:db8::1]:4711\" ; proto=https;host=\"shop.example\", for=10.0.0.1;host=b");
    set(&facts, FIELD_X_FORWARDED_FOR, "198.51.100.1");
    set(&facts, FIELD_X_FORWARDED_HOST, "wrong.example");
    set(&facts, FIELD_X_FORWARDED_PROTO, "http");
    answer(&facts, 404);
    check(&facts,
        "GET\nhttp.request.method=GET\nurl.scheme=https\nurl.path=/\n"
        "server.address=shop.example\nserver.port=443\nclient.address=2001:db8::1\n" NETWORK
        "http.response.status_code=404\n",
        "Forwarded is asked first; a server's 404 is no error");
    set(&facts, FIELD_FORWARDED, "for=unknown, for=_hidden");
    set(&facts, FIELD_X_FORWARDED_FOR, " 198.51.100.1:77 , 10.0.0.1");
    set(&facts, FIELD_X_FORWARDED_HOST, "shop.example:81, b");
    set(&facts, FIELD_X_FORWARDED_PROTO, "https, http");
    answer(&facts, 503);
    check(&facts,
        "GET\nhttp.request.method=GET\nurl.scheme=https\nurl.path=/\n"
        "server.address=shop.example\nserver.port=81\nclient.address=198.51.100.1\n" NETWORK
        "http.response.status_code=503\nerror.type=503\nERROR\n",
        "X-Forwarded headers are asked next; a server's 503 is an error");
    set(&facts, FIELD_X_FORWARDED_FOR, "2001:db8::2");
    set(&facts, FIELD_X_FORWARDED_HOST, "");
    set(&facts, FIELD_X_FORWARDED_PROTO, "");
    set(&facts, FIELD_HOST, "[2001:db8::3]:8443");
    facts.is_secure = true;
    facts.has_response = false;
    facts.error = fact("timeout");
    check(&facts,
        "GET\nhttp.request.method=GET\nurl.scheme=https\nurl.path=/\n"
        "server.address=2001:db8::3\nserver.port=8443\nclient.address=2001:db8::2\n" NETWORK
        "error.type=timeout\nERROR\n",
        "IPv6; a transport's error");
}

static void check_odd_targets(void)
{
    struct facts facts = facts_of(true, "OPTIONS", "*");
    check(&facts,
        "OPTIONS\nhttp.request.method=OPTIONS\nurl.scheme=http\nurl.path=*\n"
        "client.address=192.0.2.9\n" NETWORK,
        "a server's OPTIONS *, no Host");
    facts = facts_of(true, "CONNECT", "a.example:443");
    check(&facts,
        "CONNECT\nhttp.request.method=CONNECT\nurl.scheme=http\nserver.address=a.example\n"
        "server.port=443\nclient.address=192.0.2.9\n" NETWORK,
        "a proxy's CONNECT");
    facts = facts_of(true, "get", "https://a.example?sig=1&x=2&Signature=3");
    set(&facts, FIELD_HOST, "ignored.example");
    check(&facts,
        "HTTP\nhttp.request.method=_OTHER\nhttp.request.method_original=get\nurl.scheme=https\n"
        "url.path=/\nurl.query=sig=REDACTED&x=2&Signature=REDACTED\nserver.address=a.example\n"
        "server.port=443\nclient.address=192.0.2.9\n" NETWORK,
        "a proxy's absolute form; another method; signatures");
    facts = facts_of(true, "GET", "/r?u=http://b.example/");
    facts.peer_address = fact("/run/a.sock");
    facts.peer_port = 0;
    facts.numbers[FIELD_VERSION] = 10;
    check(&facts,
        "GET\nhttp.request.method=GET\nurl.scheme=http\nurl.path=/r\n"
        "url.query=u=http://b.example/\nclient.address=/run/a.sock\n"
        "network.peer.address=/run/a.sock\nnetwork.protocol.version=1.0\n",
        "a URL in a query; a Unix socket; HTTP/1.0");
}

static void check_client(void)
{
    struct facts facts =
        facts_of(false, "POST", "/buy?AWSAccessKeyId=k&sig&Sig=2&X-Amz-Signature=s");
    set(&facts, FIELD_HOST, "shop.example");
    set(&facts, FIELD_USER_AGENT, "not told");
    facts.is_secure = true;
    answer(&facts, 404);
    check(&facts,
        "POST\nhttp.request.method=POST\nurl.full=https://shop.example/buy?"
        "AWSAccessKeyId=REDACTED&sig&Sig=2&X-Amz-Signature=REDACTED\n"
        "server.address=shop.example\nserver.port=443\n" NETWORK
        "http.response.status_code=404\nerror.type=404\nERROR\n",
        "a client's 404 is an error; signatures");
    facts = facts_of(false, "GET", "http://user:p@ss@a.example:81/x?y");
    set(&facts, FIELD_HOST, "ignored.example");
    answer(&facts, 302);
    check(&facts,
        "GET\nhttp.request.method=GET\nurl.full=http://REDACTED:REDACTED@a.example:81/x?y\n"
        "server.address=a.example\nserver.port=81\n" NETWORK "http.response.status_code=302\n",
        "a client's absolute form; credentials");
    facts = facts_of(false, "GET", "/");
    facts.error = fact("connection_refused");
    check(&facts,
        "GET\nhttp.request.method=GET\nurl.full=http://192.0.2.9:5000/\n"
        "server.address=192.0.2.9\nserver.port=5000\n" NETWORK
        "error.type=connection_refused\nERROR\n",
        "no Host: the peer stands in");
    facts = facts_of(false, "OPTIONS", "*");
    facts.peer_address = fact("2001:db8::1");
    facts.peer_port = 80;
    check(&facts,
        "OPTIONS\nhttp.request.method=OPTIONS\nurl.full=http://[2001:db8::1]\n"
        "server.address=2001:db8::1\nserver.port=80\nnetwork.peer.address=2001:db8::1\n"
        "network.peer.port=80\nnetwork.protocol.version=1.1\n",
        "an IPv6 peer on the default port");
    facts = facts_of(false, "CONNECT", "[2001:db8::1]:443");
    check(&facts,
        "CONNECT\nhttp.request.method=CONNECT\nurl.full=[2001:db8::1]:443\n"
        "server.address=2001:db8::1\nserver.port=443\n" NETWORK,
        "a client's CONNECT");
}

static struct facts asked_of(const char *target, const char *operation, const char *destination)
{
    struct facts facts = facts_of(false, "POST", target);
    set(&facts, FIELD_HOST, "h");
    set(&facts, FIELD_OPERATION, operation);
    set(&facts, FIELD_DESTINATION, destination);
    return facts;
}

#define REST(path)                                     \
    "http.request.method=POST\nurl.full=http://h" path \
    "\nserver.address=h\nserver.port=80\n" NETWORK

static void check_amazon(void)
{
    struct facts facts =
        asked_of("/", "AmazonSQS.SendMessageBatch", "https:\\/\\/sqs\\/1\\/orders.fifo");
    facts.numbers[FIELD_BATCH] = 3;
    answer(&facts, 400);
    check(&facts,
        "SendMessageBatch orders.fifo\nPRODUCER\nmessaging.system=aws_sqs\n"
        "messaging.operation.name=SendMessageBatch\nmessaging.operation.type=send\n"
        "messaging.destination.name=orders.fifo\nmessaging.batch.message_count=3\n"
        "aws.sqs.queue.url=https://sqs/1/orders.fifo\n" REST(
            "/") "http.response.status_code=400\nerror.type=400\nERROR\n",
        "SQS in JSON, slashes escaped; a batch that is refused");
    facts = asked_of("/1/orders", "DeleteMessage", "");
    check(&facts,
        "DeleteMessage orders\nCLIENT\nmessaging.system=aws_sqs\n"
        "messaging.operation.name=DeleteMessage\nmessaging.operation.type=settle\n"
        "messaging.destination.name=orders\n" REST("/1/orders"),
        "a queue that only the path names");
    facts = asked_of("/", "Publish", "arn%3Aaws%3asns%3Aeu%3A1%3Anews%");
    check(&facts,
        "Publish news%\nPRODUCER\nmessaging.system=aws.sns\n"
        "messaging.operation.name=Publish\nmessaging.operation.type=send\n"
        "messaging.destination.name=news%\naws.sns.topic.arn=arn:aws:sns:eu:1:news%\n" REST("/"),
        "SNS as a form");
    facts = asked_of("/", "AmazonSQS.CreateQueue", "");
    check(&facts, "POST\n" REST("/"), "what is no operation on messages");
    facts = asked_of("/", "SendMessage", "");
    facts.is_server = true;
    check(&facts,
        "POST\nhttp.request.method=POST\nurl.scheme=http\nurl.path=/\nserver.address=h\n"
        "server.port=80\nclient.address=192.0.2.9\n" NETWORK,
        "who serves such requests is no client of a queue");
}

static void check_google(void)
{
    struct facts facts = asked_of("/v1/projects/p/subscriptions/work:pull?alt=json", "", "");
    check(&facts,
        "receive work\nCLIENT\nmessaging.system=gcp_pubsub\n"
        "messaging.operation.name=receive\nmessaging.operation.type=receive\n"
        "messaging.destination.name=work\nmessaging.destination.subscription.name=work\n" REST(
            "/v1/projects/p/subscriptions/work:pull?alt=json"),
        "Pub/Sub: messages are pulled");
    static const char *const others[] = {"/v1/projects/p/topics/t:pull", "/v1/projects/p/topics/t",
        "/v1/projects/p/topics/:publish", "/v1/projects/p/topics/t:publish/x", "/v1/projects/",
        "/v1/projects/p/topicss:publish"};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        facts = asked_of(others[i], "", "");
        const char *told = writer_tell(protocol_rows[0], &facts);
        CHECK(strncmp(told, "POST\n", 5) == 0, "%s is no operation", others[i]);
    }
    facts = asked_of("/v1/projects/p/topics/t:publish", "", "");
    set(&facts, FIELD_METHOD, "GET");
    CHECK(strncmp(writer_tell(protocol_rows[0], &facts), "GET\n", 4) == 0, "nor is a GET");
}

/* --- Elasticsearch and OpenSearch ----------------------------------------------------------------
 */

#define WHERE(path) "url.full=http://h:9200" path "\nserver.address=h\nserver.port=9200\n" NETWORK

static struct facts searched(const char *method, const char *target, const char *product)
{
    struct facts facts = facts_of(false, method, target);
    set(&facts, FIELD_HOST, "h:9200");
    set(&facts, FIELD_COLLECTION, product);
    answer(&facts, 200);
    return facts;
}

static void check_commands(void)
{
    struct facts facts = searched("POST", "/a,b%2Cc/_search?q=1", "Elasticsearch");
    set(&facts, FIELD_NAMESPACE, "e9106fc6");
    check(&facts,
        "search a,b,c\ndb.system.name=elasticsearch\ndb.namespace=e9106fc6\n"
        "db.operation.name=search\ndb.collection.name=a,b,c\ndb.operation.parameter.index=a,b,c\n"
        "http.request.method=POST\n" WHERE("/a,b%2Cc/_search?q=1") "db.response.status_code=200\n",
        "a search in indices of a cluster that has a name");
    facts = searched("HEAD", "/orders/_doc/_1%2F%zz", "Elasticsearch");
    answer(&facts, 404);
    check(&facts,
        "exists orders\ndb.system.name=elasticsearch\ndb.operation.name=exists\n"
        "db.collection.name=orders\ndb.operation.parameter.index=orders\n"
        "db.operation.parameter.id=_1/%zz\nhttp.request.method=HEAD\n" WHERE(
            "/orders/_doc/_1%2F%zz") "db.response.status_code=404\nerror.type=404\nERROR\n",
        "a document that is not there");
    facts = searched("GET", "/", "OpenSearch/3.0.0 (opensearch)");
    check(&facts,
        "info h:9200\ndb.system.name=opensearch\ndb.operation.name=info\n"
        "http.request.method=GET\n" WHERE("/") "db.response.status_code=200\n",
        "OpenSearch is asked who it is");
    facts = searched("PATCH", "/_ml/x", "Elasticsearch");
    facts.has_response = false;
    facts.error = fact("timeout");
    check(&facts,
        "h:9200\ndb.system.name=elasticsearch\nhttp.request.method=PATCH\n" WHERE(
            "/_ml/x") "error.type=timeout\nERROR\n",
        "no endpoint that is known");
    facts = searched("POST", "/_bulk", "Elasticsearch");
    facts.numbers[FIELD_BATCH] = 7;
    facts.numbers[FIELD_ROWS] = 16 | 8;
    check(&facts,
        "bulk delete h:9200\ndb.system.name=elasticsearch\ndb.operation.name=bulk delete\n"
        "db.operation.batch.size=7\nhttp.request.method=POST\n" WHERE(
            "/_bulk") "db.response.status_code=200\n",
        "many of one kind");
    facts.numbers[FIELD_ROWS] = 3;
    check(&facts,
        "bulk h:9200\ndb.system.name=elasticsearch\ndb.operation.name=bulk\n"
        "db.operation.batch.size=7\nhttp.request.method=POST\n" WHERE(
            "/_bulk") "db.response.status_code=200\n",
        "many of two kinds");
}

enum { ELASTIC_TOLD = 1024 }; /* bytes of a query */

static void check_query(const char *target, const char *body, const char *text, const char *what)
{
    char whole[2048];
    struct facts facts = searched("POST", target, "Elasticsearch");
    set(&facts, FIELD_QUERY, body);
    const char *told = writer_tell(protocol_rows[0], &facts);
    const char *found = strstr(told, "db.query.text=");
    snprintf(whole, sizeof whole, "db.query.text=%s\n", text);
    bool is_right = text[0] == '\0' ? found == NULL
                                    : found != NULL && strncmp(found, whole, strlen(whole)) == 0;
    if (!CHECK(is_right, "%s", what)) {
        fprintf(stderr, "%s", told);
    }
}

static void check_queries(void)
{
    static char long_body[4096], long_text[1100];
    check_query("/orders/_search",
        "{ \"query\" : {\"term\": {\"user.id\": \"a secret\"}},\n\"size\":10}",
        "{\"query\":{\"term\":{\"user.id\":?}},\"size\":?}", "a search without its values");
    check_query("/_async_search",
        "{\"a\":[1, -2e5 ,\"x\",null],\"b\":[[1,2],{\"c\":true,\"d\":\"\"}]}",
        "{\"a\":[?],\"b\":[[?],{\"c\":?,\"d\":?}]}", "one for several");
    check_query("/o/_eql/search", "{\"q\\\"\\\\\":\"a\\\":\",\"r\":\"\\\\\"}",
        "{\"q\\\"\\\\\":?,\"r\":?}", "what is escaped");
    check_query("/_search/template", "{\"id\":\"cut of", "{\"id\":", "cut in a value");
    check_query("/_search", "{\"id\":12", "{\"id\":?", "cut in a number");
    check_query("/_search", "{\"id\":1,\"na", "{\"id\":?,", "cut in a name");
    check_query("/_search", "{\"id\":\"\\", "{\"id\":", "cut behind a backslash");
    check_query("/_search", "{\"a\" \"secret\" 'secret' secret: 1}", "{????:?}", "what is no JSON");
    check_query("/_search/scroll", "{\"scroll_id\":\"a\"}", "", "no search");
    check_query("/search/_doc", "{\"a\":\"b\"}", "", "a document in an index of that name");
    size_t length = 0;
    for (unsigned i = 0; i < 400; i++) {
        length += (size_t)sprintf(long_body + length, "%s\"n%02u\":1", i == 0 ? "{" : ",", i % 100);
    }
    for (unsigned i = 0; i < ELASTIC_TOLD / 8; i++) {
        sprintf(long_text + 8 * i, "%s\"n%02u\":?", i == 0 ? "{" : ",", i % 100);
    }
    check_query("/_search", long_body, long_text, "the beginning of a long one");
}

/* The name of the span, up to its end. */
static void check_name(const struct facts *facts, const char *expected)
{
    const char *told = writer_tell(protocol_rows[0], facts);
    size_t length = strlen(expected);
    CHECK(strncmp(told, expected, length) == 0 && told[length] == '\n', "%s", expected);
}

static void check_endpoints(void)
{
    static const struct {
        const char *method, *path, *name;
    } rows[] = {
        {"GET", "/_cat/indices/a", "cat.indices a"},
        {"GET", "/_cat/", "cat.help h:9200"},
        {"HEAD", "/_cat/health", "cat.health h:9200"},
        {"HEAD", "/", "ping h:9200"},
        {"PUT", "/a", "indices.create a"},
        {"GET", "/_all", "indices.get h:9200"},
        {"GET", "/*/_count", "count h:9200"},
        {"GET", "/_nodes/stats", "nodes.stats h:9200"},
        {"GET", "/_nodes/stats/jvm", "nodes.stats h:9200"},
        {"GET", "/_nodes/n1/stats", "nodes.stats h:9200"},
        {"GET", "/_nodes/n1", "nodes.info h:9200"},
        {"GET", "/_snapshot/_status", "snapshot.status h:9200"},
        {"GET", "/_snapshot/r/s/_status", "snapshot.status h:9200"},
        {"GET", "/_snapshot/r/s", "snapshot.get h:9200"},
        {"POST", "/_scripts/painless/_execute", "scripts_painless_execute h:9200"},
        {"PUT", "/_scripts/painless", "put_script h:9200"},
        {"POST", "/a/_rollover/b", "indices.rollover h:9200"},
        {"POST", "/_search/scroll", "scroll h:9200"},
        {"DELETE", "/_search/scroll/x", "clear_scroll h:9200"},
        {"POST", "/a/_search/point_in_time", "create_pit a"},
        {"PUT", "/a/_create/1", "create a"},
        {"GET", "/a/_doc/_search", "get a"},
        /* none of them */
        {"GET", "/_a", "h:9200"},
        {"POST", "/_snapshot/r/_analyze", "h:9200"},
        {"GET", "/_cat/_a", "h:9200"},
        {"GET", "/_allx/_search", "h:9200"},
        {"GET", "//_search", "h:9200"},
        {"GET", "/a/_searchx", "h:9200"},
        {"GET", "/a/_searc", "h:9200"},
        {"GET", "/a/_doc/1/2", "h:9200"},
        {"DELETE", "/a/_search", "h:9200"},
        {"get", "/a/_search", "h:9200"},
        {"OPTIONS", "*", "h:9200"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct facts facts = searched(rows[i].method, rows[i].path, "Elasticsearch");
        check_name(&facts, rows[i].name);
    }
    char path[600], name[256];
    memset(path, 'i', sizeof path);
    memcpy(path, "/", 1);
    memcpy(path + sizeof path - 9, "/_search", 9);
    memset(name, 'i', sizeof name);
    memcpy(name, "search ", 7);
    name[255] = '\0';
    struct facts facts = searched("GET", path, "Elasticsearch");
    check_name(&facts, name);
}

static void check_clients(void)
{
    static const struct {
        const char *agent, *product, *system;
    } rows[] = {
        {"elasticsearch-py/7.17.6 (Python 3.11.2)", "", "elasticsearch"},
        {"elasticsearch-ruby/7.5.0 (RUBY_VERSION: 3.1.2)", "", "elasticsearch"},
        {"go-elasticsearch/8.11.0 (linux amd64)", "", "elasticsearch"},
        {"opensearch-py/2.4.2 (Python 3.11.2)", "", "opensearch"},
        {"opensearch-go/2.3.0", "", "opensearch"},
        {"elasticsearch-py/7.10.1", "OpenSearch/2.11.0 (opensearch)", "opensearch"},
        {"opensearch-py/2.4.2", "Elasticsearch", "elasticsearch"},
        {"elasticsearch-py", "", NULL},
        {"elasticsearch-/1", "", NULL},
        {"elasticsearch-p/1", "", NULL},
        {"elasticsearch-y/1", "", NULL},
        {"elasticsearch_exporter/1.5", "", NULL},
        {"elasticsearch", "", NULL},
        {"opensearch/1", "", NULL},
        {"go-elasticsearch", "", NULL},
        {"e", "", NULL},
        {"curl/7.88.1", "elastic", NULL},
        {"curl/7.88.1", "OpenSearch", NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct facts facts = searched("GET", "/a/_search", rows[i].product);
        char expected[64];
        set(&facts, FIELD_USER_AGENT, rows[i].agent);
        snprintf(expected, sizeof expected, "%s\ndb.system.name=%s\n", "search a",
            rows[i].system != NULL ? rows[i].system : "");
        if (rows[i].system == NULL) {
            strcpy(expected, "GET\nhttp.request.method=GET\n");
        }
        CHECK(strncmp(writer_tell(protocol_rows[0], &facts), expected, strlen(expected)) == 0,
            "%s, %s", rows[i].agent, rows[i].product);
    }
    struct facts facts = searched("GET", "/a/_search", "");
    facts.numbers[FIELD_ROWS] = 16;
    check_name(&facts, "search a");
    facts.numbers[FIELD_ROWS] = 15;
    check_name(&facts, "GET");
    set(&facts, FIELD_COLLECTION, "Elasticsearch");
    facts.is_server = true;
    check_name(&facts, "GET");
}

/* No text of any kind: nothing may be read. */
static void check_nothing(void)
{
    struct facts facts = {.is_server = true};
    check(&facts, "HTTP\nhttp.request.method=_OTHER\nurl.scheme=http\nurl.path=/\n",
        "a server's exchange of which nothing is known");
    facts.is_server = false;
    check(&facts, "HTTP\nhttp.request.method=_OTHER\nurl.full=http://\n",
        "a client's exchange of which nothing is known");
    set(&facts, FIELD_HOST, "[");
    set(&facts, FIELD_TARGET, "://");
    set(&facts, FIELD_FORWARDED, "for=\"");
    check(&facts, "HTTP\nhttp.request.method=_OTHER\nurl.full=http://[://\n", "broken texts");
}

int main(void)
{
    check_plain_server();
    check_forwarded_server();
    check_odd_targets();
    check_client();
    check_amazon();
    check_google();
    check_commands();
    check_queries();
    check_endpoints();
    check_clients();
    check_nothing();
    return tap_done();
}
