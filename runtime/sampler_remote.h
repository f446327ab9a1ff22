/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The samplers jaeger_remote and xray: the exporter's thread asks for the strategy, or the rules,
 * now and then, host threads decide by the last one that was told; until there is one, by the
 * initial rate.
 *
 * | sampler_remote_decide | any host thread, at any time      |
 * | the others            | the exporter's thread             |
 *
 * A strategy that differs is written beside the one in use, and named then. A thread that has read
 * the name of the one before and stays away for two more changes decides once by a mixture.
 */
#pragma once

#include "otlp_http.h"
#include "sampler.h"

struct sampler_answer sampler_remote_decide(const struct sampler_question *question);

/* scratch: of OTLP_HTTP_SCRATCH_BYTES, used during a poll. Nothing is asked if config does not want
 * it. */
void sampler_remote_start(uint8_t *scratch);
uint64_t sampler_remote_due(void); /* monotonic; UINT64_MAX: never */
void sampler_remote_poll(const uint64_t *stop_ns);
