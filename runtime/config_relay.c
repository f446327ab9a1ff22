/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which relay takes what cannot be spoken in this process: https and grpc. Whoever has the same
 * settings of the exporter finds the same one, by the name of its socket; of what it is made of,
 * secrets among it, the name says nothing.
 */
#include "config_parse.h"
#include "format.h"
#include "hash.h"

void parse_relay(struct reading *reading, const struct variable *variable, const char *value)
{
    struct slice text = slice_trim(whole(value));
    reading->config->relay_off = slice_is(text, "off");
    if (reading->config->relay_off)
        return;
    if (*value != '/')
        parse_problem(reading, variable->name, "ignored: neither off nor an absolute path");
    else
        parse_text(reading, variable, value);
}

static uint64_t hash_signal(uint64_t hash, const struct config *config, enum signal signal)
{
    const struct config_signal *settings = &config->signals[signal];
    const struct config_tls *tls = &config->tls[signal];
    const char marks[] = {settings->is_relayed ? 'r' : '-', settings->grpc ? 'g' : '-',
        settings->json ? 'j' : '-', settings->gzip ? 'z' : '-', '\0'};
    const char *const texts[] = {marks, config->urls[signal], config->headers[signal],
        tls->certificate, tls->client_certificate, tls->client_key};
    char timeout[24];
    struct format number;
    format_start(&number, timeout, sizeof(timeout));
    format_number(&number, settings->timeout_ms);
    hash = hash_text(hash, timeout);
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        hash = hash_text(hash_text(hash, texts[i]), "\n");
    return hash;
}

bool config_relay_path(const struct config *config, uint32_t user, char out[RELAY_PATH_BYTES])
{
    uint64_t hash = hash_start();
    struct format path;
    format_start(&path, out, RELAY_PATH_BYTES);
    if (config->relay_given[0] != '\0') {
        format_text(&path, config->relay_given);
        return path.fits;
    }
    for (unsigned i = 0; i < SIGNAL_COUNT; i++)
        hash = hash_signal(hash, config, (enum signal)i);
    format_text(&path, config->run_directory);
    format_text(&path, "/burdock-relay-");
    format_number(&path, user);
    format_text(&path, "/");
    format_hex(&path, hash);
    format_text(&path, ".sock");
    return path.fits;
}
