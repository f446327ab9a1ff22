/* SPDX-License-Identifier: Apache-2.0 */
/* Which code made a call: a record's return addresses told as code.* attributes. */
#include <string.h>

#include "format.h"
#include "telling.h"
#include "unwind.h"

/* Libraries that call for others: the code that made a call is what called them. */
static bool is_go_between(const struct symbol *symbol)
{
    const char *name =
        "libc.so\0libc-\0ld-linux\0libpthread\0libssl.so\0libcrypto.so\0libgnutls.so\0"
        "libpq.so\0libmysqlclient.so\0libmariadb.so\0libhiredis\0libcurl\0"
        "libmemcached.so\0libuv.so\0libevent\0libburdock\0";
    for (; *name != '\0'; name = text_nth(name, 1))
        if (strncmp(symbol->object, name, strlen(name)) == 0)
            return true;
    return false;
}

/* "look_up+0x35 (shop) /src/shop.c:12", a line each. */
static void tell_frame(struct describer *out, uintptr_t address, const struct symbol *symbol)
{
    char line[SYMBOL_NAME_MAX + SYMBOL_OBJECT_MAX + SOURCE_PATH_MAX + 64];
    struct format format;
    format_start(&format, line, sizeof(line));
    if (symbol->object[0] == '\0') {
        format_text(&format, "0x");
        format_hex(&format, address);
    } else {
        format_text(&format, symbol->name[0] != '\0' ? symbol->name : symbol->object);
        format_text(&format, "+0x");
        format_hex_short(&format, symbol->offset);
    }
    if (symbol->name[0] != '\0') {
        format_text(&format, " (");
        format_text(&format, symbol->object);
        format_text(&format, ")");
    }
    if (symbol->source.path[0] != '\0') {
        format_text(&format, " ");
        format_text(&format, symbol->source.path);
        format_text(&format, ":");
        format_number(&format, symbol->source.line);
    }
    format_text(&format, "\n");
    out->append(out, line, (size_t)(format.at - line));
}

/* Inlined code is told by the function that it is in, and by its own line. */
static void tell_maker(struct describer *out, const struct symbol *symbol)
{
    const struct source_line *source = &symbol->source;
    if (symbol->name[0] != '\0')
        out->text(out, ATTRIBUTE_CODE_FUNCTION_NAME, symbol->name, strlen(symbol->name));
    if (source->path[0] == '\0')
        return;
    out->text(out, ATTRIBUTE_CODE_FILE_PATH, source->path, strlen(source->path));
    out->number(out, ATTRIBUTE_CODE_LINE_NUMBER, source->line);
}

void telling_code(struct telling *telling, struct fact stack)
{
    uintptr_t addresses[UNWIND_FRAMES_MAX];
    const struct symbol *symbols[UNWIND_FRAMES_MAX];
    struct describer *out = &telling->describer;
    size_t count = stack.length / sizeof(addresses[0]), maker = 0;
    if (count == 0 || count > UNWIND_FRAMES_MAX || telling->name_code == NULL)
        return;
    memcpy(addresses, stack.text, count * sizeof(addresses[0]));
    telling->name_code(addresses, count, symbols);
    while (maker < count && is_go_between(symbols[maker]))
        maker++;
    if (maker < count)
        tell_maker(out, symbols[maker]);
    out->open(out, ATTRIBUTE_CODE_STACKTRACE);
    for (size_t i = 0; i < count; i++)
        tell_frame(out, addresses[i], symbols[i]);
    out->close(out);
}
