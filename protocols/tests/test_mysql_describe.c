/* SPDX-License-Identifier: Apache-2.0 */
/* What is known of a command, and the span that tells it. */
#include "mysql.h"
#include "tap.h"
#include "writer.h"

extern const struct protocol mysql_protocol;

#define FACT(literal) ((struct fact){(const uint8_t *)(literal), sizeof(literal) - 1})

static void expect(const struct facts *facts, const char *wanted, const char *what)
{
    const char *told = writer_tell(&mysql_protocol, facts);
    CHECK(strcmp(told, wanted) == 0, "%s: %s", what, told);
}

static struct facts statement(enum mysql_kind kind, int64_t version)
{
    struct facts facts = {0};
    facts.numbers[FIELD_VERSION] = (int64_t)kind << VERSION_KIND_SHIFT | version;
    return facts;
}

int main(void)
{
    struct facts facts = statement(KIND_STATEMENT, VERSION_MARIADB);
    facts.texts[FIELD_QUERY] = FACT("SELECT a FROM t WHERE b = 'it\\'s'");
    facts.texts[FIELD_NAMESPACE] = FACT("shop");
    facts.numbers[FIELD_ROWS] = 3;
    expect(&facts,
        "mariadb\ndb.system.name=mariadb\ndb.namespace=shop\n"
        "db.query.text=SELECT a FROM t WHERE b = ?\nSELECT t\ndb.query.summary=SELECT t\n"
        "db.response.returned_rows=2\n",
        "a statement");

    facts = statement(KIND_STATEMENT, VERSION_NO_BACKSLASH);
    facts.texts[FIELD_QUERY] = FACT("DO 'a\\', b");
    expect(&facts, "mysql\ndb.system.name=mysql\ndb.query.text=DO ?, b\nDO\ndb.query.summary=DO\n",
        "backslashes are no escapes");

    static const char *const uses[] = {"use shop", "USE\n`shop`;", "shop", "Use  shop ;"};
    for (size_t i = 0; i < sizeof uses / sizeof uses[0]; i++) {
        facts = statement(KIND_PING, 0);
        facts.texts[FIELD_NAMESPACE] =
            (struct fact){(const uint8_t *)uses[i], (uint32_t)strlen(uses[i])};
        expect(&facts,
            "mysql\ndb.system.name=mysql\ndb.namespace=shop\nPING\ndb.operation.name=PING\n",
            uses[i]);
    }

    facts = statement(KIND_LOGIN, VERSION_MARIADB);
    facts.numbers[FIELD_STATUS] = 1045;
    expect(&facts,
        "mariadb\ndb.system.name=mariadb\nCONNECT\ndb.operation.name=CONNECT\n"
        "db.response.status_code=1045\nerror.type=1045\nERROR\n",
        "an error");

    facts = statement(KIND_COUNT, 0);
    facts.error = FACT("connection_reset");
    expect(&facts, "mysql\ndb.system.name=mysql\nerror.type=connection_reset\nERROR\n",
        "no kind that we know");
    return tap_done();
}
