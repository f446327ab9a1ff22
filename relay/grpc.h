/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The unary call Export of OTLP/gRPC (opentelemetry-proto 1.11; gRPC over HTTP/2): the frame of a
 * message, and what trailers, or a head that has them already, say of it.
 */
#pragma once

#include "transfer.h"

/* The method's path. */
const char *grpc_path(enum signal signal);

/* The message behind its five bytes. NULL: no memory. */
uint8_t *grpc_frame(const uint8_t *message, size_t length, bool gzip, size_t *out_length);

/* Fields of the request; false: no memory. */
bool grpc_headers(struct curl_slist **list, const struct config_signal *settings);

/* The same in the words of OTLP/HTTP. */
void grpc_judge(struct transfer *transfer, long status, struct verdict *verdict);
