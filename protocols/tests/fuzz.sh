#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# fuzz.sh <fuzz target> <replay> <protocol> <vector file>...: ten seconds, seeded by the vectors.
set -eu
target=$1 replay=$2
shift 2
corpus=$(mktemp -d)
trap 'rm -rf "$corpus"' EXIT
export LLVM_PROFILE_FILE=/dev/null
"$replay" --seeds "$corpus" "$@"
"$target" -max_total_time="${FUZZ_SECONDS:-10}" -max_len=4096 -artifact_prefix="${FUZZ_CRASHES:-./}" \
    -error_exitcode=1 "$corpus"
