/* SPDX-License-Identifier: Apache-2.0 */
/* The cases of the W3C trace-context harness that a propagator decides, and the limits. */
#include "propagation.h"
#include "tap.h"

#include <string.h>

#define TRACE "0123456789abcdef0123456789abcdef"
#define SPAN "0123456789abcdef"

struct parent_case {
    const char *text;
    bool is_valid;
    const char *what;
};

static const struct parent_case parent_cases[] = {
    {"00-" TRACE "-" SPAN "-01", true, "plain"},
    {" \t00-" TRACE "-" SPAN "-01\t ", true, "white space around it"},
    {"00-" TRACE "-" SPAN "-01-", false, "version 00 with a dash behind"},
    {"00-" TRACE "-" SPAN "-01-what", false, "version 00 with more behind"},
    {"00-" TRACE "-" SPAN "-01.", false, "version 00 with junk behind"},
    {"cc-" TRACE "-" SPAN "-01", true, "a later version"},
    {"cc-" TRACE "-" SPAN "-01-what", true, "a later version with more behind"},
    {"cc-" TRACE "-" SPAN "-01-", true, "a later version with a dash behind"},
    {"cc-" TRACE "-" SPAN "-01.what", false, "a later version, no dash"},
    {"ff-" TRACE "-" SPAN "-01", false, "version ff"},
    {".0-" TRACE "-" SPAN "-01", false, "illegal version"},
    {"0.-" TRACE "-" SPAN "-01", false, "illegal version, second digit"},
    {"000-" TRACE "-" SPAN "-01", false, "version too long"},
    {"0-" TRACE "-" SPAN "-01", false, "version too short"},
    {"00-00000000000000000000000000000000-" SPAN "-01", false, "trace-id of zeros"},
    {"00-.123456789abcdef0123456789abcdef-" SPAN "-01", false, "illegal trace-id"},
    {"00-0123456789ABCDEF0123456789abcdef-" SPAN "-01", false, "trace-id in capitals"},
    {"00-" TRACE "0-" SPAN "-01", false, "trace-id too long"},
    {"00-123456789abcdef0123456789abcdef-" SPAN "-01", false, "trace-id too short"},
    {"00-" TRACE "-0000000000000000-01", false, "parent-id of zeros"},
    {"00-" TRACE "-.123456789abcdef-01", false, "illegal parent-id"},
    {"00-" TRACE "-" SPAN "0-01", false, "parent-id too long"},
    {"00-" TRACE "-123456789abcdef-01", false, "parent-id too short"},
    {"00-" TRACE "-" SPAN "-.0", false, "illegal flags"},
    {"00-" TRACE "-" SPAN "-0.", false, "illegal flags, second digit"},
    {"00-" TRACE "-" SPAN "-001", false, "flags too long"},
    {"00-" TRACE "-" SPAN "-1", false, "flags too short"},
    {"00_" TRACE "-" SPAN "-01", false, "first dash"},
    {"00-" TRACE "_" SPAN "-01", false, "second dash"},
    {"00-" TRACE "-" SPAN "_01", false, "third dash"},
    {"", false, "empty"},
    {" \t", false, "white space only"},
};

static void check_parents(void)
{
    for (size_t i = 0; i < sizeof parent_cases / sizeof parent_cases[0]; i++) {
        const struct parent_case *row = &parent_cases[i];
        struct trace_ids ids, untouched;
        memset(&ids, 0x77, sizeof ids);
        memset(&untouched, 0x77, sizeof untouched);
        bool is_valid = traceparent_parse((const uint8_t *)row->text, strlen(row->text), &ids);
        bool is_kept = memcmp(&ids, &untouched, sizeof ids) == 0;
        CHECK(is_valid == row->is_valid && is_kept != is_valid, "traceparent: %s", row->what);
    }
}

static void check_round_trip(const char *in, const char *out, const char *what)
{
    struct trace_ids ids;
    char text[TRACEPARENT_LENGTH + 1] = {0};
    bool is_valid = traceparent_parse((const uint8_t *)in, strlen(in), &ids);
    traceparent_format(text, &ids);
    CHECK(is_valid && strcmp(text, out) == 0, "traceparent out: %s", what);
}

struct state_case {
    const char *text;
    const char *cleaned; /* NULL: dropped */
    const char *what;
};

static const struct state_case state_cases[] = {
    {"foo=1", "foo=1", "one member"},
    {"foo=1,bar=2", "foo=1,bar=2", "two members"},
    {"bar=2,foo=1", "bar=2,foo=1", "the order is kept"},
    {"foo=1,foo=1", "foo=1,foo=1", "duplicates are kept"},
    {"foo=1 \t , \t bar=2, \t baz=3", "foo=1,bar=2,baz=3", "white space around commas"},
    {"foo=1\t \t,\t \tbar=2,\t \tbaz=3", "foo=1,bar=2,baz=3", "tabs around commas"},
    {" foo=1", "foo=1", "space before"},
    {"\tfoo=1\t", "foo=1", "tabs around"},
    {"", NULL, "empty"},
    {" \t ", NULL, "white space only"},
    {",", NULL, "empty members only"},
    {"foo=1,,bar=2,", "foo=1,bar=2", "empty members"},
    {"foo= 1", "foo= 1", "a leading space is the value's"},
    {"foo= ", NULL, "a value of spaces"},
    {"foo =1", NULL, "a space in a key"},
    {"FOO=1", NULL, "a key in capitals"},
    {"foo.bar=1", NULL, "a dot in a key"},
    {"foo@=1,bar=2", "foo@=1,bar=2", "an at-sign at a key's end"},
    {"@foo=1,bar=2", NULL, "an at-sign at a key's start"},
    {"foo@@bar=1,bar=2", "foo@@bar=1,bar=2", "two at-signs"},
    {"foo@bar@baz=1,bar=2", "foo@bar@baz=1,bar=2", "two at-signs apart"},
    {"0foo=1", "0foo=1", "a key that starts with a digit"},
    {"_foo=1", NULL, "a key that starts with an underscore"},
    {"foo=bar=baz", NULL, "an equals sign in a value"},
    {"foo=,bar=3", NULL, "an empty value"},
    {"foo", NULL, "no equals sign"},
    {"=1", NULL, "no key"},
    {"foo=a\tb", NULL, "a tab in a value"},
    {"foo=a\x7f", NULL, "DEL in a value"},
    {"foo=\xc3\xa9", NULL, "a value that is not ASCII"},
    {"foo=a\r\nb", NULL, "a line end in a value"},
    {"abcdefghijklmnopqrstuvwxyz0123456789_-*/=  !\"#$%&'()*+-./0123456789:;<>?@ABCDEFGHIJKLM"
     "NOPQRSTUVWXYZ[\\]^_`abcdefghijklmnopqrstuvwxyz{|}~",
        "abcdefghijklmnopqrstuvwxyz0123456789_-*/=  !\"#$%&'()*+-./0123456789:;<>?@ABCDEFGHIJKLM"
        "NOPQRSTUVWXYZ[\\]^_`abcdefghijklmnopqrstuvwxyz{|}~",
        "all characters that are allowed"},
};

static bool cleans_to(const char *text, const char *cleaned)
{
    char out[32768];
    size_t length;
    if (!tracestate_clean((const uint8_t *)text, strlen(text), out, &length)) {
        return cleaned == NULL;
    }
    return cleaned != NULL && length == strlen(cleaned) && memcmp(out, cleaned, length) == 0;
}

static void check_states(void)
{
    for (size_t i = 0; i < sizeof state_cases / sizeof state_cases[0]; i++) {
        const struct state_case *row = &state_cases[i];
        CHECK(cleans_to(row->text, row->cleaned), "tracestate: %s", row->what);
    }
}

static const char *members(int count)
{
    static char text[4096];
    text[0] = '\0';
    for (int i = 0; i < count; i++) {
        size_t length = strlen(text);
        snprintf(text + length, sizeof text - length, "%sbar%02d=%02d", i > 0 ? "," : "", i, i);
    }
    return text;
}

static const char *member(int key_length, int value_length)
{
    static char text[1024];
    memset(text, 'z', (size_t)key_length);
    text[key_length] = '=';
    memset(text + key_length + 1, '1', (size_t)value_length);
    text[key_length + 1 + value_length] = '\0';
    return text;
}

static void check_state_limits(void)
{
    CHECK(cleans_to(members(32), members(32)), "tracestate: 32 members are kept");
    CHECK(cleans_to(members(33), NULL), "tracestate: 33 members are dropped");
    CHECK(cleans_to(member(256, 1), member(256, 1)), "tracestate: a key of 256 is kept");
    CHECK(cleans_to(member(257, 1), NULL), "tracestate: a key of 257 is dropped");
    CHECK(cleans_to(member(1, 256), member(1, 256)), "tracestate: a value of 256 is kept");
    CHECK(cleans_to(member(1, 257), NULL), "tracestate: a value of 257 is dropped");
}

static bool is_acceptable(const char *text)
{
    return baggage_acceptable((const uint8_t *)text, strlen(text));
}

static void check_baggage(void)
{
    static char text[8194];
    memset(text, 'a', 8192);
    text[1] = '=';
    CHECK(is_acceptable(text), "baggage: 8192 bytes");
    text[8192] = 'a';
    CHECK(!is_acceptable(text), "baggage: 8193 bytes");
    CHECK(is_acceptable("a=b;c , \t d = %20;e=f"), "baggage: properties and white space");
    CHECK(is_acceptable(members(64)), "baggage: 64 members");
    CHECK(!is_acceptable(members(65)), "baggage: 65 members");
    CHECK(!is_acceptable(""), "baggage: empty");
    CHECK(!is_acceptable(" ,"), "baggage: no member");
    CHECK(!is_acceptable("a=b\r\nX: y"), "baggage: a line end");
    CHECK(!is_acceptable("a=\xc3\xa9"), "baggage: not ASCII");
}

int main(void)
{
    check_parents();
    check_round_trip("00-" TRACE "-" SPAN "-01", "00-" TRACE "-" SPAN "-01", "sampled");
    check_round_trip("00-" TRACE "-" SPAN "-02", "00-" TRACE "-" SPAN "-02", "random, unsampled");
    check_round_trip("00-" TRACE "-" SPAN "-ff", "00-" TRACE "-" SPAN "-03", "unknown flags go");
    check_round_trip("cc-" TRACE "-" SPAN "-01-x", "00-" TRACE "-" SPAN "-01", "version 00");
    check_states();
    check_state_limits();
    check_baggage();
    return tap_done();
}
