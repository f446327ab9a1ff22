#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""archive.py ARCHIVE SOURCE... -- COMPILER ARGUMENT...: compiles each source, as many at once as there
are processors, into objects beside the archive that hold them."""
import concurrent.futures
import os
import shutil
import subprocess
import sys

at = sys.argv.index("--")
archive, sources, compiler = sys.argv[1], sys.argv[2:at], sys.argv[at + 1:]
folder = archive + ".p"
shutil.rmtree(folder, ignore_errors=True)
os.makedirs(folder)


def compiled(source):
    out = os.path.join(folder, os.path.basename(source) + ".o")
    return out if subprocess.run([*compiler, "-c", source, "-o", out]).returncode == 0 else None


with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
    objects = list(pool.map(compiled, sources))
if None in objects or len(set(objects)) < len(objects):
    sys.exit("not every source has an object of its own")
if os.path.exists(archive):
    os.remove(archive)
subprocess.run(["ar", "rcs", archive, *objects], check=True)
