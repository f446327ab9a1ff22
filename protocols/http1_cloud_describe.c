/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Queues of clouds: a request as an operation on messages, by OpenTelemetry's semantic conventions
 * for messaging (1.44.0). Amazon's operations are named by X-Amz-Target or by Action; Google's by
 * the end of the path.
 */
#include "hex.h"
#include "http1.h"
#include "messaging.h"

#include <string.h>

#define WORD(text) sizeof(text) - 1, text

struct operation {
    const char *system;
    uint8_t type; /* enum message_operation */
    uint8_t length;
    char name[32]; /* as it is asked for */
    const char *told;
};

static const struct operation amazons[] = {
    {"aws_sqs", MESSAGE_SEND, WORD("SendMessage"), "SendMessage"},
    {"aws_sqs", MESSAGE_SEND, WORD("SendMessageBatch"), "SendMessageBatch"},
    {"aws_sqs", MESSAGE_RECEIVE, WORD("ReceiveMessage"), "ReceiveMessage"},
    {"aws_sqs", MESSAGE_SETTLE, WORD("DeleteMessage"), "DeleteMessage"},
    {"aws_sqs", MESSAGE_SETTLE, WORD("DeleteMessageBatch"), "DeleteMessageBatch"},
    {"aws_sqs", MESSAGE_SETTLE, WORD("ChangeMessageVisibility"), "ChangeMessageVisibility"},
    {"aws_sqs", MESSAGE_SETTLE, WORD("ChangeMessageVisibilityBatch"),
        "ChangeMessageVisibilityBatch"},
    {"aws.sns", MESSAGE_SEND, WORD("Publish"), "Publish"},
    {"aws.sns", MESSAGE_SEND, WORD("PublishBatch"), "PublishBatch"},
};

static const struct operation googles[] = {
    {"gcp_pubsub", MESSAGE_SEND, WORD("topics:publish"), "send"},
    {"gcp_pubsub", MESSAGE_RECEIVE, WORD("subscriptions:pull"), "receive"},
    {"gcp_pubsub", MESSAGE_SETTLE, WORD("subscriptions:acknowledge"), "ack"},
    {"gcp_pubsub", MESSAGE_SETTLE, WORD("subscriptions:modifyAckDeadline"), "modack"},
};

enum { AMAZONS = sizeof amazons / sizeof amazons[0], GOOGLES = sizeof googles / sizeof googles[0] };

static struct fact from(struct fact text, uint32_t at)
{
    return at == 0 ? text : (struct fact){text.text + at, text.length - at};
}

static bool begins(struct fact text, const char *literal, uint32_t length)
{
    return text.length >= length && memcmp(text.text, literal, length) == 0;
}

/* Up to `byte`, which is taken off with it; all of it if there is none. */
static struct fact split(struct fact *rest, uint8_t byte)
{
    const uint8_t *found = rest->length > 0 ? memchr(rest->text, byte, rest->length) : NULL;
    uint32_t length = found != NULL ? (uint32_t)(found - rest->text) : rest->length;
    struct fact first = {rest->text, length};
    *rest = from(*rest, found != NULL ? length + 1 : length);
    return first;
}

/* --- Amazon's ----------------------------------------------------------------------------------
 */

static const struct operation *amazons_operation(struct fact name)
{
    static const char prefix[] = "AmazonSQS.";
    if (begins(name, prefix, sizeof prefix - 1)) {
        name = from(name, sizeof prefix - 1);
    }
    for (unsigned i = 0; i < AMAZONS; i++) {
        if (name.length == amazons[i].length && begins(name, amazons[i].name, amazons[i].length)) {
            return &amazons[i];
        }
    }
    return NULL;
}

/* What stands at `at`, of JSON or of a form: `\/` and %2F are slashes. Answers how long that is. */
static uint32_t decode(struct fact text, uint32_t at, uint8_t *byte)
{
    const uint8_t *here = text.text + at;
    *byte = here[0];
    if (here[0] == '\\' && text.length - at >= 2) {
        *byte = here[1];
        return 2;
    }
    if (here[0] == '%' && text.length - at >= 3 && hex_value(here[1]) >= 0 &&
        hex_value(here[2]) >= 0) {
        *byte = (uint8_t)(hex_value(here[1]) * 16 + hex_value(here[2]));
        return 3;
    }
    return 1;
}

/* Of https://host/account/queue and arn:aws:sns:region:account:topic. */
static struct fact last_part(struct fact address)
{
    uint32_t start = 0;
    uint8_t byte;
    for (uint32_t at = 0; at < address.length;) {
        at += decode(address, at, &byte);
        if (byte == '/' || byte == ':') {
            start = at;
        }
    }
    return from(address, start);
}

static void tell_address(
    const struct operation *operation, struct fact address, struct describer *out)
{
    bool is_topic = operation->system == amazons[AMAZONS - 1].system;
    uint8_t byte;
    if (address.length == 0) {
        return;
    }
    out->open(out, is_topic ? ATTRIBUTE_AWS_SNS_TOPIC_ARN : ATTRIBUTE_AWS_SQS_QUEUE_URL);
    for (uint32_t at = 0; at < address.length;) {
        at += decode(address, at, &byte);
        out->append(out, &byte, 1);
    }
    out->close(out);
}

static bool describe_amazons(const struct facts *facts, struct fact path, struct describer *out)
{
    const struct operation *operation = amazons_operation(facts->texts[FIELD_OPERATION]);
    struct fact address = facts->texts[FIELD_DESTINATION];
    if (operation == NULL) {
        return false;
    }
    messaging_describe_operation(facts, out,
        &(struct messaging){.system = operation->system,
            .type = operation->type,
            .operation = operation->told,
            .destination = last_part(address.length > 0 ? address : path)});
    tell_address(operation, address, out);
    return true;
}

/* --- Google's ----------------------------------------------------------------------------------
 */

/* "topics" and "publish" make "topics:publish". */
static const struct operation *googles_operation(struct fact kind, struct fact verb)
{
    for (unsigned i = 0; i < GOOGLES; i++) {
        const struct operation *row = &googles[i];
        if (kind.length + 1 + verb.length == row->length && begins(kind, row->name, kind.length) &&
            row->name[kind.length] == ':' &&
            begins(verb, row->name + kind.length + 1, verb.length)) {
            return row;
        }
    }
    return NULL;
}

/* /v1/projects/PROJECT/topics/TOPIC:publish */
static bool describe_googles(const struct facts *facts, struct fact path, struct describer *out)
{
    static const char prefix[] = "/v1/projects/";
    struct fact method = facts->texts[FIELD_METHOD];
    bool is_post = method.length == 4 && begins(method, "POST", 4);
    if (!is_post || !begins(path, prefix, sizeof prefix - 1)) {
        return false;
    }
    struct fact rest = from(path, sizeof prefix - 1);
    split(&rest, '/');
    struct fact kind = split(&rest, '/'), name = split(&rest, ':');
    const struct operation *operation = googles_operation(kind, rest);
    if (operation == NULL || name.length == 0) {
        return false;
    }
    messaging_describe_operation(facts, out,
        &(struct messaging){.system = operation->system,
            .type = operation->type,
            .operation = operation->told,
            .destination = name});
    if (operation->type == MESSAGE_SEND) {
        if (!facts->is_rewritten && !facts->is_adopted) {
            out->untouched(out);
        }
    } else {
        out->text(out, ATTRIBUTE_MESSAGING_DESTINATION_SUBSCRIPTION_NAME, name.text, name.length);
    }
    return true;
}

bool http1_cloud_describe(const struct facts *facts, struct fact path, struct describer *out)
{
    return describe_amazons(facts, path, out) || describe_googles(facts, path, out);
}
