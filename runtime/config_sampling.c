/* SPDX-License-Identifier: Apache-2.0 */
/* Variables about which traces are kept. */
#include "config_parse.h"
#include "probability.h"

void parse_sampler(struct reading *reading, const struct variable *variable, const char *value)
{
    static const struct {
        const char *name;
        enum sampler_kind kind;
        bool parent_based;
    } samplers[] = {
        {"always_on", SAMPLER_ALWAYS_ON, false},
        {"always_off", SAMPLER_ALWAYS_OFF, false},
        {"traceidratio", SAMPLER_RATIO, false},
        {"parentbased_always_on", SAMPLER_ALWAYS_ON, true},
        {"parentbased_always_off", SAMPLER_ALWAYS_OFF, true},
        {"parentbased_traceidratio", SAMPLER_RATIO, true},
    };
    for (size_t i = 0; i < sizeof(samplers) / sizeof(samplers[0]); i++) {
        if (!slice_is(slice_trim(whole(value)), samplers[i].name))
            continue;
        reading->config->sampler = samplers[i].kind;
        reading->config->sampler_parent_based = samplers[i].parent_based;
        reading->sampler_given = true;
        return;
    }
    parse_problem(
        reading, variable->name, "unknown or unsupported sampler: parentbased_always_on is used");
}

/* digits [ "." digits ] between 0 and 1. Own code: strtod depends on the host's locale. */
static bool ratio_parse(struct slice text, double *ratio)
{
    double value = 0, scale = 1;
    bool digits = false, point = false;
    for (size_t i = 0; i < text.length; i++) {
        if (text.data[i] == '.' && !point) {
            point = true;
            continue;
        }
        unsigned digit = (unsigned)(text.data[i] - '0');
        if (digit > 9)
            return false;
        digits = true;
        if (scale > 1e17)
            continue; /* beyond what a double holds */
        value = value * 10 + digit;
        scale = point ? scale * 10 : scale;
    }
    *ratio = value / scale;
    return digits && *ratio <= 1;
}

void parse_sampler_argument(
    struct reading *reading, const struct variable *variable, const char *value)
{
    double ratio;
    if (!reading->sampler_given || reading->config->sampler != SAMPLER_RATIO)
        return;
    if (ratio_parse(slice_trim(whole(value)), &ratio))
        reading->config->sampler_ratio = ratio;
    else
        parse_problem(reading, variable->name, "ignored: not a ratio between 0 and 1");
}

/* Decided by the very threshold that is told. */
void config_settle_sampling(struct config *config)
{
    static const double all[] = {[SAMPLER_ALWAYS_ON] = 1, [SAMPLER_ALWAYS_OFF] = 0};
    bool is_ratio = config->sampler == SAMPLER_RATIO;
    config->sampler_threshold =
        probability_threshold(is_ratio ? config->sampler_ratio : all[config->sampler]);
    config->samples_plainly = config->sampler_parent_based && config->sampler_threshold == 0;
}
