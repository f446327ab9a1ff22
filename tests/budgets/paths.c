/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The hot paths, each run COUNT times between two marks of callgrind: run_budgets.py subtracts what
 * the bare program needs and holds the rest against a budget. Peers use the kernel directly.
 */
#include <fcntl.h>
#include <valgrind/callgrind.h>

#include "../e2e/apps/sqlite.h"
#include "../hosts/host.h"

enum { WARM = 64, COUNT = 1000, CHUNK_BYTES = 16 * 1024, ROWS = 100 };

static const char request[] = "GET /cart/17?page=2 HTTP/1.1\r\nHost: shop.example:8080\r\n"
                              "User-Agent: curl/7.88.1\r\nAccept: */*\r\n\r\n";
static const char answer[] = "HTTP/1.1 200 OK\r\nServer: nginx\r\nContent-Type: text/plain\r\n"
                             "Content-Length: 2\r\nConnection: keep-alive\r\n\r\nok";
static char buffer[64 * 1024];

static int file;
static struct host_pair foreign, served, called, uploading, cached, cache, kept, keeper, documents,
    asked;

static void write_file(void)
{
    EXPECT(write(file, buffer, 1) == 1);
}

/* No logs are asked for. */
static void print_to_file(void)
{
    static FILE *stream;
    if (stream == NULL)
        stream = fopen("/dev/null", "w");
    EXPECT(fputs("a line\n", stream) >= 0 && fprintf(stream, "%s", "another\n") > 0);
}

static void read_foreign(void)
{
    raw_write(foreign.client, "x", 1);
    EXPECT(read(foreign.server, buffer, sizeof(buffer)) == 1);
}

/* Reads what there is, once: the answer of the other side is there already. */
static void serve_what(const char *head)
{
    raw_write(served.client, head, sizeof(request) - 1);
    EXPECT(read(served.server, buffer, sizeof(buffer)) > 0);
    EXPECT(write(served.server, answer, sizeof(answer) - 1) > 0);
    EXPECT(raw_read(served.client, buffer, sizeof(buffer)) > 0);
}

static void serve(void)
{
    serve_what(request);
}

/* A request of which there was none before. */
static void serve_anew(void)
{
    static char other[sizeof(request)];
    static int number;
    memcpy(other, request, sizeof(request));
    memcpy(other + 4,
        (char[4]){'/', (char)('a' + number % 26), (char)('a' + number / 26 % 26),
            (char)('a' + number / 676)},
        4);
    number++;
    serve_what(other);
}

static void call(void)
{
    EXPECT(write(called.client, request, sizeof(request) - 1) > 0);
    EXPECT(raw_read(called.server, buffer, sizeof(buffer)) > 0);
    raw_write(called.server, answer, sizeof(answer) - 1);
    EXPECT(read(called.client, buffer, sizeof(buffer)) > 0);
}

/* As a proxy does: the call is a child of the request. */
static void forward(void)
{
    raw_write(served.client, request, sizeof(request) - 1);
    EXPECT(read(served.server, buffer, sizeof(buffer)) > 0);
    call();
    EXPECT(write(served.server, answer, sizeof(answer) - 1) > 0);
    EXPECT(raw_read(served.client, buffer, sizeof(buffer)) > 0);
}

static void begin_upload(void)
{
    static const char head[] = "PUT /big HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000000\r\n\r\n";
    EXPECT(write(uploading.client, head, sizeof(head) - 1) > 0);
    EXPECT(raw_read(uploading.server, buffer, sizeof(buffer)) > 0);
}

static void send_chunk(void)
{
    static bool is_begun;
    if (!is_begun)
        begin_upload();
    is_begun = true;
    EXPECT(write(uploading.client, buffer, CHUNK_BYTES) == CHUNK_BYTES);
    host_raw_read_all(uploading.server, buffer, CHUNK_BYTES);
}

static void begin_foreign(void)
{
    static const char other[] = "220 mail.example ESMTP ready, and this is no HTTP at all\r\n";
    raw_write(foreign.client, other, sizeof(other) - 1);
    EXPECT(read(foreign.server, buffer, sizeof(buffer)) > 0);
}

static const char command[] = "*3\r\n$3\r\nSET\r\n$8\r\ncart:017\r\n$5\r\nvalue\r\n";

static void ask_redis(void)
{
    EXPECT(write(cached.client, command, sizeof(command) - 1) > 0);
    EXPECT(raw_read(cached.server, buffer, sizeof(buffer)) > 0);
    raw_write(cached.server, "+OK\r\n", 5);
    EXPECT(read(cached.client, buffer, sizeof(buffer)) > 0);
}

/* A command whose answer is a long array. */
static void ask_for_values(void)
{
    static char many[ROWS * 11 + 6];
    size_t used = (size_t)sprintf(many, "*%d\r\n", ROWS);
    for (int i = 0; i < ROWS; i++, used += 11)
        memcpy(many + used, "$5\r\nvalue\r\n", 11);
    EXPECT(write(cached.client, command, sizeof(command) - 1) > 0);
    EXPECT(raw_read(cached.server, buffer, sizeof(buffer)) > 0);
    raw_write(cached.server, many, used);
    EXPECT(read(cached.client, buffer, sizeof(buffer)) == (ssize_t)used);
}

/* A server of Redis: its first command tells that it is one. */
static void serve_redis(void)
{
    raw_write(cache.client, command, sizeof(command) - 1);
    EXPECT(read(cache.server, buffer, sizeof(buffer)) > 0);
    EXPECT(write(cache.server, "+OK\r\n", 5) == 5);
    EXPECT(raw_read(cache.client, buffer, sizeof(buffer)) > 0);
}

static const char get[] = "get cart:017\r\n";
static const char hit[] = "VALUE cart:017 0 5\r\nvalue\r\nEND\r\n";

static void ask_memcached(void)
{
    EXPECT(write(kept.client, get, sizeof(get) - 1) > 0);
    EXPECT(raw_read(kept.server, buffer, sizeof(buffer)) > 0);
    raw_write(kept.server, hit, sizeof(hit) - 1);
    EXPECT(read(kept.client, buffer, sizeof(buffer)) > 0);
}

static void serve_memcached(void)
{
    raw_write(keeper.client, get, sizeof(get) - 1);
    EXPECT(read(keeper.server, buffer, sizeof(buffer)) > 0);
    EXPECT(write(keeper.server, hit, sizeof(hit) - 1) > 0);
    EXPECT(raw_read(keeper.client, buffer, sizeof(buffer)) > 0);
}

/* requestID 1, and its answer: cursor, firstBatch of one document, ok. */
static const char found[] = "\x45\0\0\0\1\0\0\0\0\0\0\0\xdd\7\0\0\0\0\0\0\0\x30\0\0\0"
                            "\2find\0\6\0\0\0carts\0\3filter\0\5\0\0\0\0"
                            "\2$db\0\5\0\0\0shop\0";
static const char reply[] = "\x5f\0\0\0\2\0\0\0\1\0\0\0\xdd\7\0\0\0\0\0\0\0\x4a\0\0\0"
                            "\3cursor\0\x31\0\0\0\4firstBatch\0\x14\0\0\0"
                            "\3"
                            "0\0\x0c\0\0\0\x10n\0\1\0\0\0\0\0"
                            "\x12id\0\0\0\0\0\0\0\0\0\0"
                            "\1ok\0\0\0\0\0\0\0\xf0\x3f";

static void ask_mongodb(void)
{
    EXPECT(write(documents.client, found, sizeof(found)) > 0);
    EXPECT(raw_read(documents.server, buffer, sizeof(buffer)) > 0);
    raw_write(documents.server, reply, sizeof(reply));
    EXPECT(read(documents.client, buffer, sizeof(buffer)) > 0);
}

static const char query[] = "Q\0\0\0\x2d"
                            "SELECT name FROM carts WHERE number = 17";
static const char rows[] = "T\0\0\0\x1d\0\1name\0\0\0\0\0\0\0\0\0\0\x19\xff\xff\0\0\0\0\0\0"
                           "D\0\0\0\x0e\0\1\0\0\0\4kiwi"
                           "C\0\0\0\x0dSELECT 1\0Z\0\0\0\5I";

static void ask(void)
{
    EXPECT(write(asked.client, query, sizeof(query)) > 0);
    EXPECT(raw_read(asked.server, buffer, sizeof(buffer)) > 0);
    raw_write(asked.server, rows, sizeof(rows) - 1);
    EXPECT(read(asked.client, buffer, sizeof(buffer)) > 0);
}

/* A query that was never asked before. */
static void ask_anew(void)
{
    static char other[sizeof(query)];
    static int number;
    memcpy(other, query, sizeof(query));
    snprintf(other + sizeof(query) - 1 - 11, 12, "num = %05d", number++);
    EXPECT(write(asked.client, other, sizeof(other)) > 0);
    EXPECT(raw_read(asked.server, buffer, sizeof(buffer)) > 0);
    raw_write(asked.server, rows, sizeof(rows) - 1);
    EXPECT(read(asked.client, buffer, sizeof(buffer)) > 0);
}

/* A query whose answer has many rows. */
static void ask_for_rows(void)
{
    static char many[(sizeof(rows) - 1) + ROWS * 15];
    size_t used = 30, tail = sizeof(rows) - 1 - 30 - 15;
    memcpy(many, rows, used);
    for (int i = 0; i < ROWS; i++, used += 15)
        memcpy(many + used, rows + 30, 15);
    memcpy(many + used, rows + 30 + 15, tail);
    EXPECT(write(asked.client, query, sizeof(query)) > 0);
    EXPECT(raw_read(asked.server, buffer, sizeof(buffer)) > 0);
    raw_write(asked.server, many, used + tail);
    EXPECT(read(asked.client, buffer, sizeof(buffer)) == (ssize_t)(used + tail));
}

static const char execution[] = "B\0\0\0\x13\0s1\0\0\0\0\1\0\0\0\x01"
                                "7\0\0"
                                "E\0\0\0\x09\0\0\0\0\0S\0\0\0\4";
static const char executed[] = "2\0\0\0\4D\0\0\0\x0e\0\1\0\0\0\4kiwi"
                               "C\0\0\0\x0dSELECT 1\0Z\0\0\0\5I";

static void execute(void)
{
    EXPECT(write(asked.client, execution, sizeof(execution) - 1) > 0);
    EXPECT(raw_read(asked.server, buffer, sizeof(buffer)) > 0);
    raw_write(asked.server, executed, sizeof(executed) - 1);
    EXPECT(read(asked.client, buffer, sizeof(buffer)) > 0);
}

/* A session of PostgreSQL, and a statement that is prepared. */
static void begin_asking(void)
{
    static const char startup[] = "\0\0\0\x20\0\3\0\0user\0app\0database\0shop\0";
    static const char prepare[] = "P\0\0\0\x32s1\0SELECT name FROM carts WHERE number = $1\0\0\0"
                                  "S\0\0\0\4";
    static const char ready[] = "R\0\0\0\x08\0\0\0\0Z\0\0\0\5I";
    static const char prepared[] = "1\0\0\0\4Z\0\0\0\5I";
    EXPECT(write(asked.client, startup, sizeof(startup)) > 0);
    raw_write(asked.server, ready, sizeof(ready) - 1);
    EXPECT(read(asked.client, buffer, sizeof(buffer)) > 0);
    EXPECT(write(asked.client, prepare, sizeof(prepare) - 1) > 0);
    raw_write(asked.server, prepared, sizeof(prepared) - 1);
    EXPECT(read(asked.client, buffer, sizeof(buffer)) > 0);
    EXPECT(raw_read(asked.server, buffer, sizeof(buffer)) > 0);
}

#ifdef HAS_SQLITE
static sqlite3 *base;
static sqlite3_stmt *one, *endless;

static void begin_stepping(void)
{
    EXPECT(sqlite3_open(":memory:", &base) == SQLITE_OK);
    EXPECT(sqlite3_prepare_v2(base, "SELECT 'kiwi' AS name", -1, &one, NULL) == SQLITE_OK);
    EXPECT(sqlite3_prepare_v2(base,
               "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT n FROM c",
               -1, &endless, NULL) == SQLITE_OK);
}

static void execute_here(void)
{
    EXPECT(sqlite3_step(one) == SQLITE_ROW);
    EXPECT(sqlite3_step(one) == SQLITE_DONE);
    EXPECT(sqlite3_reset(one) == SQLITE_OK);
}

static void step(void)
{
    EXPECT(sqlite3_step(endless) == SQLITE_ROW);
}
#else
static void begin_stepping(void)
{
}
#endif

/* A group is run alone: what the exporter needs for its spans is another sum. */
static const struct {
    const char *name;
    void (*run)(void);
    const char *group;
} paths[] = {
    {"fputs and fprintf", print_to_file, ""},
    {"write to a file", write_file, ""},
    {"read of a socket of another protocol", read_foreign, ""},
    {"request served", serve, ""}, /* the first one starts the exporter's thread */
    {"write to a file, not alone", write_file, ""},
    {"request made", call, ""},
    {"request forwarded", forward, ""},
    {"16 KB of a body sent", send_chunk, ""},
    {"Redis asked", ask_redis, ""},
    {"Redis asked for 100 values", ask_for_values, ""},
    {"Redis itself", serve_redis, ""},
    {"memcached asked", ask_memcached, ""},
    {"memcached itself", serve_memcached, ""},
    {"MongoDB asked", ask_mongodb, ""},
    {"another request served", serve_anew, "other"},
    {"query of PostgreSQL", ask, "sql"},
    {"query of 100 rows", ask_for_rows, "sql"},
    {"execution by PostgreSQL", execute, "sql"},
    {"another query of PostgreSQL", ask_anew, "new"},
#ifdef HAS_SQLITE
    {"execution by SQLite", execute_here, "sqlite"},
    {"row of SQLite", step, "sqlite"},
#endif
};

int main(int argc, char **argv)
{
    const char *group = argc > 1 ? argv[1] : "";
    file = open("/dev/null", O_WRONLY);
    foreign = host_connect(false, true);
    served = host_connect(false, true);
    called = host_connect(false, false);
    uploading = host_connect(false, false);
    asked = host_connect(false, false);
    cached = host_connect(false, false);
    cache = host_connect(false, true);
    kept = host_connect(false, false);
    keeper = host_connect(false, true);
    documents = host_connect(false, false);
    begin_foreign();
    if (strcmp(group, "sql") == 0 || strcmp(group, "new") == 0)
        begin_asking();
    if (strcmp(group, "sqlite") == 0)
        begin_stepping();
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        if (strcmp(paths[i].group, group) != 0)
            continue;
        for (int k = 0; k < WARM; k++)
            paths[i].run();
        CALLGRIND_ZERO_STATS;
        for (int k = 0; k < COUNT; k++)
            paths[i].run();
        CALLGRIND_DUMP_STATS_AT(paths[i].name);
    }
    return 0;
}
