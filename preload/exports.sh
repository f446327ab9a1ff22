#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Makes the version script from the hooks' archive.   exports.sh ARCHIVE > MAP
# What is not hidden is exported. Hooks of libc have no version, and answer to all of them. Those of
# other libraries have the versions of those (hooks/foreign.h), which must not be the first of ours:
# what asks for a name without a version is given that. It is BURDOCK, of libraries without any.
# Four of libc's on amd64 have an older version that does something else: ours are the newer ones, and
# who was linked against the older gets it from libc.
set -eu
symbols=$(readelf -sW "$1" | awk '$4 == "FUNC" && $5 == "GLOBAL" && $6 == "DEFAULT" && $7 != "UND" {print $8}')
test -n "$symbols"
echo 'BURDOCK { local: __start_*; __stop_*; };'
for version in $(echo "$symbols" | sed -n 's/.*@//p' | grep -vx BURDOCK | sort -u); do echo "$version { };"; done
if readelf -h "$1" | grep -q X86-64; then
    echo 'GLIBC_2.3.2 { global: pthread_cond_wait; pthread_cond_timedwait; };'
    echo 'GLIBC_2.15 { global: posix_spawn; posix_spawnp; };'
fi
