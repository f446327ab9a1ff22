#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Fails when a protocol's folder of vectors has none: no protocol goes untested."""
import pathlib
import sys

folder = pathlib.Path(sys.argv[1])
vectors = [line for path in folder.glob("*.txt") for line in path.read_text().splitlines()
           if line.startswith("== ")]
if not vectors:
    sys.exit(f"no vectors in {folder}: add one before the protocol")
print(len(vectors))
