/* SPDX-License-Identifier: Apache-2.0 */
/* What is known of a command, and the span that tells it. */
#include "mongodb.h"
#include "tap.h"
#include "writer.h"

extern const struct protocol mongodb_protocol;

static struct fact fact(const char *text)
{
    return (struct fact){(const uint8_t *)text, (uint32_t)strlen(text)};
}

/* Of a server; the texts may be NULL. */
static struct facts facts_of(const char *command, const char *collection, const char *database)
{
    struct facts facts = {.peer_address = fact("192.0.2.9"), .peer_port = 27017};
    const char *const texts[] = {command, collection, database};
    static const enum field fields[] = {FIELD_OPERATION, FIELD_COLLECTION, FIELD_NAMESPACE};
    for (int i = 0; i < 3; i++) {
        if (texts[i] != NULL) {
            facts.texts[fields[i]] = fact(texts[i]);
        }
    }
    return facts;
}

#define SERVER                                                                              \
    "server.address=192.0.2.9\nnetwork.peer.address=192.0.2.9\nserver.port=27017\nnetwork." \
    "peer.port=27017\n"
#define FIND                                                                                   \
    "db.system.name=mongodb\nfind orders\ndb.operation.name=find\ndb.collection.name=orders\n" \
    "db.namespace=shop\n"

static void check(struct facts facts, const char *expected, const char *what)
{
    const char *told = writer_tell(&mongodb_protocol, &facts);
    if (!CHECK(strcmp(told, expected) == 0, "%s", what)) {
        fprintf(stderr, "%s", told);
    }
}

static void check_spans(void)
{
    struct facts facts = facts_of("find", "orders", "shop");
    facts.numbers[FIELD_ROWS] = 4;
    check(facts, FIND SERVER "db.response.returned_rows=3\n", "a command");
    facts.numbers[FIELD_ROWS] = 0;
    facts.numbers[FIELD_BATCH] = 1;
    check(facts, FIND SERVER, "of one document");
    facts.numbers[FIELD_BATCH] = 2;
    check(facts, FIND "db.operation.batch.size=2\n" SERVER, "of two");
    check(facts_of("ping", NULL, "admin"),
        "db.system.name=mongodb\nping admin\ndb.operation.name=ping\ndb.namespace=admin\n" SERVER,
        "of a database");
    check(facts_of("ping", NULL, NULL),
        "db.system.name=mongodb\nping\ndb.operation.name=ping\n" SERVER, "of none");
    check(facts_of(NULL, NULL, NULL), "db.system.name=mongodb\nmongodb\n" SERVER, "compressed");
}

static void check_errors(void)
{
    struct facts facts = facts_of("find", "orders", "shop");
    facts.numbers[FIELD_STATUS] = 11000;
    check(
        facts, FIND SERVER "db.response.status_code=11000\nerror.type=11000\nERROR\n", "an error");
    facts.numbers[FIELD_STATUS] = -1;
    check(facts, FIND SERVER "error.type=_OTHER\nERROR\n", "one without a number");
    facts.numbers[FIELD_STATUS] = 0;
    facts.error = fact("connection_closed");
    check(facts, FIND SERVER "error.type=connection_closed\nERROR\n", "no answer");
}

/* Every name as long as may be told. */
static void check_longest(void)
{
    static char command[MONGODB_COMMAND_BYTES_MAX + 1], collection[MONGODB_TEXT_BYTES_MAX + 1];
    char wanted[512];
    memset(command, 'a', sizeof command - 1);
    memset(collection, 'c', sizeof collection - 1);
    snprintf(wanted, sizeof wanted, "mongodb\n%s %s\n", command, collection);
    struct facts facts = facts_of(command, collection, NULL);
    CHECK(strstr(writer_tell(&mongodb_protocol, &facts), wanted) != NULL, "the longest name");
}

int main(void)
{
    check_spans();
    check_errors();
    check_longest();
    return tap_done();
}
