/* SPDX-License-Identifier: Apache-2.0 */
/* Variables about which traces are kept. */
#include "config_parse.h"
#include "json_read.h"
#include "probability.h"
#include "url.h"

/* Those who can be asked. */
static const struct remote {
    const char *url, *path;
    const char *interval; /* its name, and in what */
    uint32_t unit_ms, poll_ms;
    double ratio;
} remotes[] = {
    [SAMPLER_JAEGER] = {"http://localhost:5778", "/sampling", "pollingIntervalMs", 1, 60000, 0.001},
    [SAMPLER_XRAY] = {"http://127.0.0.1:2000", "/GetSamplingRules", "polling_interval", 1000,
        300000, 0.05},
};

static void use_remote_defaults(struct config *config)
{
    const struct remote *remote = &remotes[config->sampler];
    size_t length = strlen(remote->url);
    config->sampler_ratio = remote->ratio;
    config->sampler_poll_ms = remote->poll_ms;
    memcpy(config->sampler_url, remote->url, length);
    memcpy(config->sampler_url + length, remote->path, strlen(remote->path) + 1);
}

void parse_sampler(struct reading *reading, const struct variable *variable, const char *value)
{
    static const struct {
        const char *name;
        enum sampler_kind kind;
        bool parent_based;
    } samplers[] = {
        {"always_on", SAMPLER_ALWAYS_ON, false}, {"always_off", SAMPLER_ALWAYS_OFF, false},
        {"traceidratio", SAMPLER_RATIO, false}, {"parentbased_always_on", SAMPLER_ALWAYS_ON, true},
        {"parentbased_always_off", SAMPLER_ALWAYS_OFF, true},
        {"parentbased_traceidratio", SAMPLER_RATIO, true}, {"jaeger_remote", SAMPLER_JAEGER, false},
        {"parentbased_jaeger_remote", SAMPLER_JAEGER, true},
        {"xray", SAMPLER_XRAY, true}, /* as SDKs have it: there is no other */
    };
    for (size_t i = 0; i < sizeof(samplers) / sizeof(samplers[0]); i++) {
        if (!slice_is(slice_trim(whole(value)), samplers[i].name))
            continue;
        reading->config->sampler = samplers[i].kind;
        reading->config->sampler_parent_based = samplers[i].parent_based;
        reading->sampler_given = true;
        if (samplers[i].kind >= SAMPLER_JAEGER)
            use_remote_defaults(reading->config);
        return;
    }
    parse_problem(
        reading, variable->name, "unknown or unsupported sampler: parentbased_always_on is used");
}

/* A number between 0 and 1; JSON's, or YAML's, so 1e-3 is one. */
static bool ratio_parse(struct slice text, double *ratio)
{
    struct json json = {text.data, text.data + text.length, false};
    double value = json_number(&json);
    if (!json_is_over(&json) || value < 0 || value > 1)
        return false;
    *ratio = value;
    return true;
}

/* Where the endpoint has no path, the one that is usual. */
static bool use_endpoint(struct config *config, struct slice value)
{
    const char *path = remotes[config->sampler].path;
    char text[CONFIG_TEXT_MAX];
    struct url url;
    if (value.length + strlen(path) >= sizeof(text))
        return false;
    memcpy(text, value.data, value.length);
    text[value.length] = '\0';
    if (!url_parse(text, &url) || url.scheme != URL_HTTP)
        return false;
    if (url.path.length <= 1 && (url.path.length == 0 || url.path.data[0] == '/'))
        memcpy(text + value.length - url.path.length, path, strlen(path) + 1);
    memcpy(config->sampler_url, text, strlen(text) + 1);
    return true;
}

/* endpoint=http://host:5778,pollingIntervalMs=5000,initialSamplingRate=0.25; of X-Ray
 * endpoint=http://host:2000,polling_interval=300 */
static void parse_remote(
    struct reading *reading, const struct variable *variable, const char *value)
{
    struct config *config = reading->config;
    const struct remote *remote = &remotes[config->sampler];
    bool is_xray = config->sampler == SAMPLER_XRAY;
    struct slice item, rest = whole(value);
    while (slice_split(&rest, ',', &item)) {
        struct slice text = item, name;
        slice_split(&text, '=', &name);
        uint64_t ms;
        bool is_right = false;
        if (slice_is(name, "endpoint"))
            is_right = use_endpoint(config, text);
        else if (slice_is(name, remote->interval)) {
            is_right = number_parse(text, INT32_MAX / remote->unit_ms, &ms) && ms > 0;
            config->sampler_poll_ms =
                is_right ? (uint32_t)ms * remote->unit_ms : config->sampler_poll_ms;
        } else if (!is_xray && slice_is(name, "initialSamplingRate"))
            is_right = ratio_parse(text, &config->sampler_ratio);
        if (!is_right)
            parse_problem(reading, variable->name,
                is_xray ? "ignored in part: endpoint=http://..., polling_interval= in seconds"
                        : "ignored in part: endpoint=http://..., pollingIntervalMs=, "
                          "initialSamplingRate=");
    }
}

void parse_sampler_argument(
    struct reading *reading, const struct variable *variable, const char *value)
{
    double ratio;
    if (reading->sampler_given && reading->config->sampler >= SAMPLER_JAEGER)
        parse_remote(reading, variable, value);
    if (!reading->sampler_given || reading->config->sampler != SAMPLER_RATIO)
        return;
    if (ratio_parse(slice_trim(whole(value)), &ratio))
        reading->config->sampler_ratio = ratio;
    else
        parse_problem(reading, variable->name, "ignored: not a ratio between 0 and 1");
}

/* ---- rules ---- */

static bool decision_parse(struct slice word, struct config_rule *rule)
{
    double ratio = slice_is(word, "on") ? 1 : 0;
    rule->is_ratio = !slice_is(word, "on") && !slice_is(word, "off");
    if (rule->is_ratio && !ratio_parse(word, &ratio))
        return false;
    rule->threshold = probability_threshold(ratio);
    return true;
}

/* Does any of the patterns fit, which are separated by bars? */
bool config_pattern_fits(struct slice patterns, struct slice text)
{
    struct slice pattern;
    while (slice_split(&patterns, '|', &pattern))
        if (slice_matches(text, pattern))
            return true;
    return false;
}

static bool paths_valid(struct slice patterns)
{
    struct slice pattern;
    while (slice_split(&patterns, '|', &pattern))
        if (pattern.length == 0 || (pattern.data[0] != '/' && pattern.data[0] != '*'))
            return false;
    return true;
}

/* The name alone, or its path if the pattern has one. */
static bool is_this_program(struct slice patterns, const char *executable)
{
    const char *slash = strrchr(executable, '/');
    bool is_path = patterns.length > 0 && memchr(patterns.data, '/', patterns.length) != NULL;
    return config_pattern_fits(patterns, whole(slash == NULL || is_path ? executable : slash + 1));
}

struct rule_reading {
    const struct reading *reading;
    struct config_rule rule;
    bool is_elsewhere; /* it is for another program */
};

static bool condition_parse(struct rule_reading *of, struct slice word)
{
    const char *text = of->reading->config->sampler_rules;
    const char *equals = memchr(word.data, '=', word.length);
    size_t name = equals == NULL ? 0 : (size_t)(equals - word.data);
    if (name == 0 || name + 1 == word.length)
        return false;
    struct slice value = {equals + 1, word.length - name - 1};
    struct config_pattern pattern = {(uint16_t)(value.data - text), (uint16_t)value.length};
    word.length = name;
    if (slice_is(word, "exe"))
        of->is_elsewhere |= !is_this_program(value, of->reading->executable);
    else if (slice_is(word, "method"))
        of->rule.method = pattern;
    else if (slice_is(word, "path") && paths_valid(value))
        of->rule.path = pattern;
    else
        return false;
    return true;
}

static bool rule_parse(struct rule_reading *of, struct slice text)
{
    struct slice word;
    if (!slice_split(&text, ' ', &word) || !decision_parse(word, &of->rule))
        return false;
    while (slice_split(&text, ' ', &word))
        if (word.length > 0 && !condition_parse(of, word))
            return false;
    return true;
}

/* A rule that is none takes no other one with it. */
void parse_rules(struct reading *reading, const struct variable *variable, const char *value)
{
    struct config *config = reading->config;
    if (!parse_text(reading, variable, value))
        return;
    for (char *at = config->sampler_rules; *at != '\0'; at++)
        if (*at == '\n' || *at == '\t' || *at == '\r')
            *at = ' ';
    struct slice item, rest = whole(config->sampler_rules);
    while (slice_split(&rest, ';', &item)) {
        struct rule_reading of = {.reading = reading};
        if (item.length == 0)
            continue;
        if (!rule_parse(&of, item))
            parse_problem(reading, variable->name,
                "a rule was ignored: on, off or a ratio, then path=, method= or exe=");
        else if (!of.is_elsewhere && config->rule_count == CONFIG_RULES_MAX)
            parse_problem(reading, variable->name, "a rule was ignored: there are too many");
        else if (!of.is_elsewhere)
            config->rules[config->rule_count++] = of.rule;
    }
}

void parse_spans_per_second(
    struct reading *reading, const struct variable *variable, const char *value)
{
    uint64_t number;
    if (number_parse(slice_trim(whole(value)), 1000000000, &number) && number > 0)
        reading->config->span_cost_ns = 1000000000 / number;
    else
        parse_problem(
            reading, variable->name, "ignored: not a number from 1 to a thousand million");
}

/* Milliseconds, or with a unit. */
static bool duration_parse(struct slice text, uint64_t *ns)
{
    uint64_t unit = 1000000;
    if (text.length > 2 && memcmp(text.data + text.length - 2, "ms", 2) == 0)
        text.length -= 2;
    else if (text.length > 1 && text.data[text.length - 1] == 's') {
        text.length--;
        unit *= 1000;
    }
    bool is_number = number_parse(text, INT32_MAX, ns);
    *ns *= unit;
    return is_number;
}

void parse_keep(struct reading *reading, const struct variable *variable, const char *value)
{
    struct config *config = reading->config;
    struct slice item, rest = whole(value);
    while (slice_split(&rest, ',', &item)) {
        uint64_t slow_ns = 0;
        bool is_slow = item.length > 5 && memcmp(item.data, "slow=", 5) == 0 &&
                       duration_parse((struct slice){item.data + 5, item.length - 5}, &slow_ns);
        if (is_slow)
            config->keeps_slow_ns = slow_ns;
        else if (slice_is(item, "errors"))
            config->keeps_errors = true;
        else
            parse_problem(
                reading, variable->name, "ignored in part: neither errors nor slow=500ms");
    }
    config->keeps = config->keeps_errors || config->keeps_slow_ns != UINT64_MAX;
}

/* Which of the names it is. If none, that is told, and it is the last one. */
static unsigned choose(struct reading *reading, const struct variable *variable, const char *value,
    const char *const *names, unsigned last, const char *problem)
{
    struct slice name = slice_trim(whole(value));
    for (unsigned i = 0; i <= last; i++)
        if (slice_is(name, names[i]))
            return i;
    parse_problem(reading, variable->name, problem);
    return last;
}

void parse_trust(struct reading *reading, const struct variable *variable, const char *value)
{
    static const char *const names[] = {
        [TRUST_ALL] = "all", [TRUST_PRIVATE] = "private", [TRUST_NONE] = "none"};
    /* What was to be refused is not to get through. */
    reading->config->trust = (enum trust)choose(reading, variable, value, names, TRUST_NONE,
        "neither all, private nor none: taken as none");
}

void parse_isolation(struct reading *reading, const struct variable *variable, const char *value)
{
    static const char *const names[] = {
        [ISOLATION_AUTO] = "auto", [ISOLATION_ALWAYS] = "always", [ISOLATION_OFF] = "off"};
    reading->config->isolation = (enum isolation_mode)choose(reading, variable, value, names,
        ISOLATION_OFF, "neither auto, always nor off: taken as off");
}

/* Decided by the very threshold that is told. */
void config_settle_sampling(struct config *config)
{
    static const double all[] = {[SAMPLER_ALWAYS_ON] = 1, [SAMPLER_ALWAYS_OFF] = 0};
    bool is_ratio = config->sampler >= SAMPLER_RATIO;
    config->sampler_threshold =
        probability_threshold(is_ratio ? config->sampler_ratio : all[config->sampler]);
    config->samples_plainly = config->sampler_parent_based && config->sampler_threshold == 0 &&
                              config->rule_count == 0 && config->span_cost_ns == 0 &&
                              config->sampler < SAMPLER_JAEGER;
}
