/* SPDX-License-Identifier: Apache-2.0 */
/* Sends stored requests to an OTLP endpoint, each one until it is accepted or refused for good. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config.h"
#include "otlp_http.h"

struct sender {
    const struct config *settings;
    struct otlp_http http;
    uint8_t *scratch;
    uint64_t spans, requests; /* accepted, the spans without those rejected */
    uint64_t rejected;        /* spans in accepted requests that the collector did not take */
    uint64_t failed;          /* requests */
    struct otlp_answer last_failure, last_rejection;
};

void sender_open(struct sender *sender, const struct config *settings);

/* False: there is no point in sending more. */
bool sender_send(struct sender *sender, const uint8_t *body, size_t length, size_t spans);

void sender_close(struct sender *sender);
