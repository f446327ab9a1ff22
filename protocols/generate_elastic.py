#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes http1_elastic_tree.c from http1_elastic.def: a tree of the parts of paths.

Texts are short and alike, so bytes from PAIR_FIRST on stand for two bytes each, which may be such
bytes themselves; the commonest two that follow each other become a pair, again and again. A node is

    its size (one byte, or two with 7 bits each, the lower first), what this size does not count
    IS_PARAMETER | how many operations
    the index of its parameter, or its text and a zero
    of each operation: a bit per method, its name and a zero
    the nodes below: those with a text first
"""
import collections, sys

PAIR_FIRST, IS_PARAMETER, PAIR_FREQUENCY_MIN = 0x80, 0x80, 4
METHODS = ["GET", "POST", "PUT", "DELETE", "HEAD"]


class Node:
    def __init__(self, text):
        self.text, self.below, self.operations = text, {}, []

    def is_parameter(self):
        return self.text.startswith("{")

    def children(self):
        return sorted(self.below.values(), key=lambda node: (node.is_parameter(), node.text))


def read(lines):
    root = Node("")
    for line in lines:
        if line.strip() and not line.startswith("#"):
            name, methods, path = line.split()
            node = root
            for part in filter(None, path.split("/")):
                node = node.below.setdefault(part, Node(part))
            bits = sum(1 << METHODS.index(method) for method in methods.split(","))
            assert not any(bits & other for other, _ in node.operations), line
            node.operations.append((bits, name))
    return root


def all_nodes(node):
    yield node
    for child in node.children():
        yield from all_nodes(child)


def replace(text, pair, by):
    result, at = [], 0
    while at < len(text):
        if tuple(text[at:at + 2]) == pair:
            result.append(by)
            at += 2
        else:
            result.append(text[at])
            at += 1
    return result


def shorten(texts):
    """The pairs, and the texts by pairs."""
    short, pairs = [list(text.encode("ascii")) for text in texts], []
    while PAIR_FIRST + len(pairs) < 256:
        counts = collections.Counter(pair for text in short for pair in zip(text, text[1:]))
        pair, count = min(counts.items(), key=lambda item: (-item[1], item[0]))
        if count < PAIR_FREQUENCY_MIN:
            break
        short = [replace(text, pair, PAIR_FIRST + len(pairs)) for text in short]
        pairs.append(pair)
    return pairs, dict(zip(texts, short))


def pack(node, parameters, short):
    label = [parameters.index(node.text)] if node.is_parameter() else short[node.text] + [0]
    inside = [len(node.operations) | (IS_PARAMETER if node.is_parameter() else 0)] + label
    for bits, name in node.operations:
        inside += [bits] + short[name] + [0]
    for child in node.children():
        inside += pack(child, parameters, short)
    size = len(inside)
    return ([size] if size < 0x80 else [size & 0x7f | 0x80, size >> 7]) + inside


def show(declaration, values):
    print(f"const {declaration} = {{")
    for at in range(0, len(values), 16):
        print("    " + " ".join(f"{value}," for value in values[at:at + 16]))
    print("};\n")


root = read(open(sys.argv[1], encoding="ascii"))
nodes = list(all_nodes(root))
parameters = sorted({node.text for node in nodes if node.is_parameter()})
texts = {node.text for node in nodes if not node.is_parameter()}
texts |= {name for node in nodes for _, name in node.operations}
pairs, short = shorten(sorted(texts))
tree = pack(root, parameters, short)
assert len(tree) < 1 << 14
print("/* Generated from http1_elastic.def. */")
print('#include "http1_elastic.h"\n')
show("uint8_t http1_elastic_pairs[][2]", ["{%d, %d}" % pair for pair in pairs])
show("uint8_t http1_elastic_parameters[]",
     [f"ATTRIBUTE_DB_OPERATION_PARAMETER_{name[1:-1].upper()}" for name in parameters])
show("uint8_t http1_elastic_tree[]", tree)
print("const uint32_t http1_elastic_tree_bytes = sizeof(http1_elastic_tree);")
