# SPDX-License-Identifier: Apache-2.0
"""Store files for tests: a protobuf encoder of a few lines and the frames around it."""
import os
import struct


def varint(number):
    number &= (1 << 64) - 1
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def field(number, value):
    """int: varint, bytes and str: length-delimited."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    if isinstance(value, str):
        value = value.encode()
    return varint(number << 3 | 2) + varint(len(value)) + value


def fixed64(number, value):
    return varint(number << 3 | 1) + struct.pack("<Q", value)


def fixed32(number, value):
    return varint(number << 3 | 5) + struct.pack("<I", value)


def any_value(value):
    if isinstance(value, bool):
        return field(2, int(value))
    if isinstance(value, int):
        return field(3, value)
    if isinstance(value, float):
        return varint(4 << 3 | 1) + struct.pack("<d", value)
    if isinstance(value, list):
        return field(5, b"".join(field(1, any_value(item)) for item in value))
    if isinstance(value, dict):
        return field(6, attributes(1, value))
    if isinstance(value, bytearray):
        return field(7, bytes(value))
    return field(1, value)  # str, or bytes that need not be UTF-8


def attributes(number, values):
    return b"".join(
        field(number, field(1, key) + field(2, any_value(value))) for key, value in values.items()
    )


def span(trace, ident, name, start_ms, duration_ms, parent=b"", kind=2, status=0, extra=b"",
         **values):
    start = int(start_ms * 1_000_000)
    body = field(1, trace) + field(2, ident)
    if parent:
        body += field(4, parent)
    body += field(5, name) + field(6, kind)
    body += fixed64(7, start) + fixed64(8, start + int(duration_ms * 1_000_000))
    body += attributes(9, values.pop("attributes", {}))
    if status:
        body += field(15, field(3, status))
    return body + fixed32(16, 0x101) + extra


def request(service, spans, **values):
    resource = attributes(1, {"service.name": service, **values})
    scope = field(1, field(1, "burdock") + field(2, "0.1.0"))
    scope += b"".join(field(2, one) for one in spans)
    return field(1, field(1, resource) + field(2, scope))


def crc32c(data):
    value = 0xFFFFFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
    return value ^ 0xFFFFFFFF


def frame(payload):
    return b"BRDK" + struct.pack("<II", len(payload), crc32c(payload)) + payload


def store_file(directory, content, start=1, pid=1, run="0"):
    os.makedirs(directory, exist_ok=True)
    path = os.path.join(directory, f"{start:016x}-{pid}-{run}.otlp")
    with open(path, "ab") as file:
        file.write(content)
    return path
