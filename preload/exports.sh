#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Makes the version script from the hooks' archive: what it defines with default visibility is what
# the library exports, and nothing else.   exports.sh ARCHIVE > MAP
set -eu
names=$(readelf -sW "$1" | awk '$4 == "FUNC" && $5 == "GLOBAL" && $6 == "DEFAULT" && $7 != "UND" {print $8}' | sort -u)
test -n "$names"
echo '{ global:'
for name in $names; do echo "    $name;"; done
echo '  local: *; };'
