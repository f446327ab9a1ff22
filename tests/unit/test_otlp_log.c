/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lines of logs: how grave they say they are, what a record of one is told as, and what protobuf-c
 * reads in the request that is made of them.
 */
#include <string.h>

#include "json_write.h"
#include "otlp.h"
#include "otlp.pb-c.h"
#include "otlp_json.h"
#include "tap.h"
#include "telling.h"

static const struct example {
    const char *line, *word;
    uint8_t severity;
} examples[] = {
    {"{\"level\":\"info\"}", "info", 9},
    {"{\"msg\":\"level\",\"level\":\"WARNING\"}", "WARNING", 13},
    {"{ \"a\" : {\"level\":\"fatal\"}, \"log.level\" : \"Debug\" }", "Debug", 5},
    {"{\"level\":\"info\",\"severity\":\"CRITICAL\"}", "CRITICAL", 18},
    {"{\"lvl\":\"emerg\"}", "emerg", 21},
    {"{\"levelname\":\"Notice\"}", "Notice", 10},
    {"{\"level\":30}", "30", 9},
    {"{\"level\":65}", "65", 21},
    {"{\"level\":3}", "3", 0},
    {"{\"level\":70}", "70", 0},
    {"{\"level\":\"loud\"}", "loud", 0},
    {"{\"level\":\"in\\u0066o\"}", "", 0},
    {"{\"level\":\"\"}", "", 0},
    {"{\"level\":null}", "", 0},
    {"{\"level\":-10}", "", 0},
    {"{\"level\":\"a level that has more than thirty-two letters\"}", "", 0},
    {"{\"level\":\"error\",\"msg\":\"and it is cut o", "error", 17},
    {"{\"msg\":\"and it is cut o", "", 0},
    {"[{\"level\":\"info\"}]", "", 0},
    {"level=info", "", 0},
    {"", "", 0},
};

static void test_severity(void)
{
    for (size_t i = 0; i < sizeof(examples) / sizeof(examples[0]); i++) {
        const struct example *example = &examples[i];
        struct span_text word;
        uint8_t severity =
            log_severity((struct span_text){example->line, (uint32_t)strlen(example->line)}, &word);
        CHECK(severity == example->severity && word.length == strlen(example->word) &&
                  memcmp(word.text, example->word, word.length) == 0,
            "%s", example->line);
    }
}

static struct telling telling;
static struct config settings;
static uint8_t memory[128 * 1024];

static const struct log *tell(
    uint8_t stream, const char *path, const char *body, size_t length, int64_t dropped)
{
    static _Alignas(8) union {
        struct record record;
        uint8_t bytes[16 * 1024];
    } block;
    memset(&block, 0, sizeof(block));
    block.record = (struct record){.kind = RECORD_LOG,
        .protocol = stream,
        .start_ns = 1234567890123456789u,
        .numbers = {dropped}};
    if (stream != 2) {
        memset(block.record.trace_id, 0x11, sizeof(block.record.trace_id));
        memset(block.record.span_id, 0x22, sizeof(block.record.span_id));
        block.record.flags = 3;
    }
    uint8_t *at = (uint8_t *)(&block.record + 1);
    at = record_put_text(at, RECORD_TEXT_BODY, body, length);
    at = record_put_text(at, RECORD_TEXT_PATH, path, strlen(path));
    block.record.bytes = (uint32_t)record_rounded((size_t)(at - block.bytes));
    CHECK(telling_span(&telling, &block.record, &settings) == NULL, "a line is no span");
    return telling_log(&telling, &block.record);
}

static bool has_text(const Otlp__KeyValue *pair, const char *key, const char *text)
{
    return strcmp(pair->key, key) == 0 &&
           pair->value->value_case == OTLP__ANY_VALUE__VALUE_STRING_VALUE &&
           strcmp(pair->value->string_value, text) == 0;
}

static void test_request(void)
{
    struct otlp_batch batch;
    settings.attribute_value_limit = UINT32_MAX;
    otlp_batch_reset(&batch, memory, sizeof(memory));
    const struct log *log = tell(0, "/var/log/a.log", "a\xff \xc3\xa4", 5, 7);
    CHECK(log != NULL && otlp_batch_add_log(&batch, log, &settings), "of a file");
    log = tell(2, "", "{\"level\":\"error\"}", 17, 0);
    CHECK(log != NULL && otlp_batch_add_log(&batch, log, &settings), "of a stream, of no request");
    log = tell(1, "", "", 0, 0);
    CHECK(log != NULL && otlp_batch_add_log(&batch, log, &settings), "with nothing in it");
    CHECK(batch.spans == 3 && otlp_batch_finish(&batch, (const uint8_t *)"", 0), "a request");
    size_t length = (size_t)(batch.limit - batch.start);
    Otlp__ExportLogsServiceRequest *request =
        otlp__export_logs_service_request__unpack(NULL, length, batch.start);
    CHECK(request != NULL && request->n_resource_logs == 1 &&
              request->resource_logs[0]->n_scope_logs == 1 &&
              request->resource_logs[0]->scope_logs[0]->n_log_records == 3,
        "protobuf-c reads three records");
    Otlp__LogRecord **records = request->resource_logs[0]->scope_logs[0]->log_records;
    const Otlp__LogRecord *file = records[2], *stream = records[1], *empty = records[0];
    CHECK(strcmp(request->resource_logs[0]->scope_logs[0]->scope->name, "burdock") == 0, "scope");
    CHECK(file->observed_time_unix_nano == 1234567890123456789u && file->time_unix_nano == 0 &&
              strcmp(file->body->string_value, "a\xef\xbf\xbd \xc3\xa4") == 0,
        "when and what");
    CHECK(file->trace_id.len == 16 && file->trace_id.data[15] == 0x11 && file->span_id.len == 8 &&
              file->span_id.data[0] == 0x22 && file->flags == 3,
        "whose");
    CHECK(file->n_attributes == 2 &&
              has_text(file->attributes[0], "log.file.path", "/var/log/a.log") &&
              strcmp(file->attributes[1]->key, "burdock.log.dropped_bytes") == 0 &&
              file->attributes[1]->value->int_value == 7,
        "where, and how much more it was");
    CHECK(stream->trace_id.len == 0 && stream->span_id.len == 0 && stream->flags == 0 &&
              stream->severity_number == 17 && strcmp(stream->severity_text, "error") == 0 &&
              stream->n_attributes == 1 &&
              has_text(stream->attributes[0], "log.iostream", "stderr"),
        "of no request; how grave; which stream");
    CHECK(empty->body != NULL && empty->body->value_case == OTLP__ANY_VALUE__VALUE_STRING_VALUE &&
              has_text(empty->attributes[0], "log.iostream", "stdout"),
        "an empty body is a text");
    otlp__export_logs_service_request__free_unpacked(request, NULL);
    struct json_text json = otlp_json(SIGNAL_LOGS, batch.start, length);
    CHECK(json.text != NULL && memmem(json.text, json.length, "\"logRecords\":[{", 15) != NULL &&
              memmem(json.text, json.length, "\"traceId\":\"11111111", 19) != NULL &&
              memmem(json.text, json.length, "\"severityNumber\":17", 19) != NULL,
        "as JSON");
}

static void test_room(void)
{
    const struct log *log = tell(1, "", "hello", 5, 0);
    unsigned refused = 0, added = 0;
    for (size_t room = 0; room < 2 * OTLP_RESOURCE_BYTES_MAX; room += 7) {
        struct otlp_batch batch;
        otlp_batch_reset(&batch, memory, room);
        if (otlp_batch_add_log(&batch, log, &settings))
            added += otlp_batch_finish(&batch, memory, 0);
        else
            refused += batch.spans == 0;
    }
    CHECK(added > 100 && refused > 100, "what has no room is refused: %u, %u", added, refused);
}

int main(void)
{
    test_severity();
    test_request();
    test_room();
    return tap_done();
}
