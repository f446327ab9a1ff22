#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Prints the vector files of a folder. No protocol goes untested: fails when one has no vector."""
import pathlib
import sys

folder = pathlib.Path(sys.argv[1])
files = [path for path in sorted(folder.glob("*.txt")) if "\n== " in path.read_text()]
if not files:
    sys.exit(f"no vectors in {folder}: write one before the protocol")
print("\n".join(map(str, files)))
