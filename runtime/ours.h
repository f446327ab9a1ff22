/* SPDX-License-Identifier: Apache-2.0 */
/* A variable of the library's that another file defines. It is in the same shared object, which the
 * compiler does not take from -fvisibility=hidden, that being about definitions: without this word
 * each access asks first where the variable is. */
#pragma once

#define OURS extern __attribute__((visibility("hidden")))
