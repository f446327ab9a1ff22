/* SPDX-License-Identifier: Apache-2.0 */
/* What was agreed on by TLS: attributes of each span, and the handshake as an event of the first.
 */
#include <string.h>

#include "telling.h"

/* "1.3 CIPHER ALPN", each of them maybe empty. Answers what is behind it, if anything. */
static struct fact tell_tls(struct describer *out, struct fact tls)
{
    static const enum attribute keys[] = {
        ATTRIBUTE_TLS_PROTOCOL_VERSION, ATTRIBUTE_TLS_CIPHER, ATTRIBUTE_TLS_NEXT_PROTOCOL};
    const uint8_t *at = tls.text, *end = at + tls.length;
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]) && at < end; i++) {
        const uint8_t *blank = memchr(at, ' ', (size_t)(end - at));
        const uint8_t *stop = blank == NULL ? end : blank;
        if (stop > at)
            out->text(out, keys[i], at, (size_t)(stop - at));
        at = blank == NULL ? end : blank + 1;
    }
    return (struct fact){at, (uint32_t)(end - at)};
}

void telling_tls(struct telling *telling, struct fact tls)
{
    struct span *span = &telling->span;
    struct fact behind = tell_tls(&telling->describer, tls);
    uint8_t own = span->attribute_count;
    struct record_handshake handshake;
    if (behind.length != sizeof(handshake))
        return;
    memcpy(&handshake, behind.text, sizeof(handshake));
    tell_tls(&telling->describer, tls);
    telling_number(telling, ATTRIBUTE_TLS_RESUMED, SPAN_VALUE_BOOLEAN, handshake.is_resumed != 0);
    telling_number(telling, ATTRIBUTE_BURDOCK_DURATION_US, SPAN_VALUE_INTEGER,
        (int64_t)(handshake.took_ns / 1000));
    span->event = (struct span_event){.name = {"tls.handshake", 13},
        .time_ns = handshake.end_ns,
        .attribute_count = (uint8_t)(span->attribute_count - own)};
    span->attribute_count = own;
}
