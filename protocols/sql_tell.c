/* SPDX-License-Identifier: Apache-2.0 */
#include "sql_tell.h"

size_t sql_tell(enum sql_dialect dialect, const uint8_t *text, size_t length, struct describer *out,
    char summary[SQL_SUMMARY_BYTES_MAX])
{
    struct sql_reader reader;
    struct sql_sanitizer sanitizer;
    struct sql_summary summarizer;
    struct sql_token token;
    sql_reader_start(&reader, dialect, text, length);
    sql_sanitize_start(&sanitizer, text, out);
    sql_summarize_start(&summarizer, &reader.source, summary);
    do {
        token = sql_next(&reader);
        sql_sanitize_take(&sanitizer, &token);
        sql_summarize_take(&summarizer, &token);
    } while (token.kind != SQL_END);
    return summarizer.length;
}
