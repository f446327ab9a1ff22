#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Makes the version script from the hooks' archive.   exports.sh ARCHIVE > MAP
# What is not hidden is exported. Hooks of libc have no version, and answer to all of them. Those of
# other libraries have the versions of those (hooks/foreign.h), which must not be the first of ours:
# what asks for a name without a version is given that. It is BURDOCK, of libraries without any.
set -eu
symbols=$(readelf -sW "$1" | awk '$4 == "FUNC" && $5 == "GLOBAL" && $6 == "DEFAULT" && $7 != "UND" {print $8}')
test -n "$symbols"
echo 'BURDOCK { local: __start_*; __stop_*; };'
for version in $(echo "$symbols" | sed -n 's/.*@//p' | grep -vx BURDOCK | sort -u); do echo "$version { };"; done
