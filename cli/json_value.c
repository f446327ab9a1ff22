/* SPDX-License-Identifier: Apache-2.0 */
#include "json_value.h"

void json_value(struct json *json, const char *key, const struct value *value)
{
    switch (value->kind) {
    case VALUE_NONE:
        json_null(json, key);
        break;
    case VALUE_TEXT:
        json_text(json, key, value->text);
        break;
    case VALUE_BOOL:
        json_bool(json, key, value->truth);
        break;
    case VALUE_INTEGER:
        json_integer(json, key, value->integer);
        break;
    case VALUE_REAL:
        json_real(json, key, value->real);
        break;
    case VALUE_BYTES:
        json_base64(json, key, value->bytes.data, value->bytes.length);
        break;
    case VALUE_LIST:
        json_open(json, key, '[');
        for (size_t i = 0; i < value->list.count; i++)
            json_value(json, NULL, &value->list.items[i]);
        json_close(json, ']');
        break;
    case VALUE_MAP:
        json_attributes(json, key, &value->map);
        break;
    }
}

void json_attributes(struct json *json, const char *key, const struct attributes *attributes)
{
    json_open(json, key, '{');
    for (size_t i = 0; i < attributes->count; i++)
        json_value(json, attributes->items[i].key, &attributes->items[i].value);
    json_close(json, '}');
}
