#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes registry.c: the list of protocols, from the names given."""
import sys

names = sys.argv[1:]
print("/* Generated from the rows of protocols/meson.build. */")
print('#include "protocol.h"\n')
for name in names:
    print(f"extern const struct protocol {name}_protocol;")
print("\nconst struct protocol *const protocol_rows[] = {")
for name in names:
    print(f"    &{name}_protocol,")
print("    NULL,\n};")
