/* SPDX-License-Identifier: Apache-2.0 */
/* CRC-32C (Castagnoli; RFC 3720, appendix B.4): the checksum of Kafka's batches, and of the store's
 * frames. Any thread. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* By the processor's instruction where it has one, else crc32c_portable. */
uint32_t crc32c(const uint8_t *data, size_t bytes);

/* By table; offered so that a test can hold the two against each other. */
uint32_t crc32c_portable(const uint8_t *data, size_t bytes);
