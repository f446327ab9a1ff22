#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""check_purity.py <archive> <symbol>...: fails if the archive needs any other symbol from outside."""
import subprocess
import sys

archive, allowed = sys.argv[1], set(sys.argv[2:])


def symbols(*options):
    out = subprocess.run(["nm", "--format=posix", *options, archive], check=True,
                         capture_output=True, text=True).stdout
    return {fields[0] for fields in map(str.split, out.splitlines()) if len(fields) > 1}


foreign = symbols("--undefined-only") - symbols("--defined-only") - allowed
foreign.discard("_GLOBAL_OFFSET_TABLE_")  # the linker's own
for name in sorted(foreign):
    print(f"{archive} must not need {name}")
sys.exit(bool(foreign))
