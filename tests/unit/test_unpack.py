# SPDX-License-Identifier: Apache-2.0
"""What zlib has packed, by runtime/unpack.c and by Python's zlib: streams of every kind, and the same
cut, longer, with wrong sizes and with bytes and bits changed. TAP.

test_unpack.py UNPACK_OF
"""
import os
import random
import struct
import subprocess
import sys
import zlib

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import tap
from tap import check

UNPACK_OF = sys.argv[1]
draw = random.Random(20)


def ours(streams):
    """[bytes or None] of [(packed, size)]."""
    asked = b"".join(struct.pack("=II", size, len(packed)) + packed for packed, size in streams)
    done = subprocess.run([UNPACK_OF], input=asked, capture_output=True, timeout=200)
    if done.returncode != 0:
        return [done.stderr.decode(errors="replace")] * len(streams)
    told, at, found = done.stdout, 0, []
    for _, size in streams:
        is_whole = told[at] == 1
        found.append(told[at + 1:at + 1 + size] if is_whole else None)
        at += 1 + (size if is_whole else 0)
    return found


def theirs(packed, size):
    reader = zlib.decompressobj()
    try:
        out = reader.decompress(packed) + reader.flush()
    except zlib.error:
        return None
    return out if reader.eof and len(out) == size else None


def texts():
    words = [bytes(draw.randrange(97, 123) for _ in range(draw.randrange(2, 9))) for _ in range(200)]
    yield b""
    yield b"a"
    yield bytes(70000)
    yield b"abc" * 30000
    yield bytes(range(256)) * 9
    yield draw.randbytes(100000)
    yield b" ".join(draw.choice(words) for _ in range(60000))
    # Codes of every length: each byte half as often as the one before it.
    skewed = b"".join(bytes([n]) * (1 << (17 - n)) for n in range(18))
    yield bytes(draw.sample(skewed, len(skewed)))
    far = draw.randbytes(32768)
    yield far + far[:258] + far
    with open(UNPACK_OF, "rb") as file:
        yield file.read(3000000)


def packed_forms(text):
    for level, bits, strategy in ((1, 15, zlib.Z_DEFAULT_STRATEGY), (6, 15, zlib.Z_DEFAULT_STRATEGY),
                                  (9, 15, zlib.Z_DEFAULT_STRATEGY), (9, 9, zlib.Z_DEFAULT_STRATEGY),
                                  (0, 15, zlib.Z_DEFAULT_STRATEGY), (6, 15, zlib.Z_FIXED),
                                  (6, 15, zlib.Z_HUFFMAN_ONLY), (6, 15, zlib.Z_RLE)):
        maker = zlib.compressobj(level, zlib.DEFLATED, bits, 9, strategy)
        middle = len(text) // 2
        yield (maker.compress(text[:middle]) + maker.flush(zlib.Z_FULL_FLUSH) +
               maker.compress(text[middle:]) + maker.flush())
        yield zlib.compress(text, level)


def test_whole():
    for number, text in enumerate(texts()):
        streams = [(packed, len(text)) for packed in packed_forms(text)]
        wrong = [at for at, got in enumerate(ours(streams)) if got != text]
        check(not wrong, f"text {number} of {len(text)} bytes, in {len(streams)} forms", wrong)


def small_streams():
    text = b" ".join(b"%d of %d" % (n * n % 97, n) for n in range(300))
    return [(packed, len(text)) for packed in packed_forms(text)] + \
        [(packed, 9) for packed in packed_forms(b"\0\0\0\0abcd\1")]


def compare(streams, what):
    got = ours(streams)
    differ = [(packed.hex()[:200], size, str(mine)[:200])
              for (packed, size), mine in zip(streams, got) if mine != theirs(packed, size)]
    check(not differ, f"{what}: {len(streams)} streams, {sum(one is not None for one in got)} whole",
          "\n".join(map(str, differ)))


def test_cut():
    streams = [(packed[:length], size) for packed, size in small_streams()
               for length in range(len(packed))]
    compare(streams, "cut at every length")
    check(set(ours(streams)) == {None}, "none of those is whole")
    compare([(packed + b"\0more", size) for packed, size in small_streams()], "followed by others")


def test_sizes():
    streams = [(packed, size + more) for packed, size in small_streams() for more in (-1, 1, 100)]
    check(set(ours(streams)) == {None}, "of another size than it says: none")


def test_changed():
    bits = [(packed[:at // 8] + bytes([packed[at // 8] ^ 1 << at % 8]) + packed[at // 8 + 1:], size)
            for packed, size in small_streams() for at in range(0, 8 * len(packed), 3)]
    compare(bits, "a bit changed")
    # With a checksum that is right for what comes out, so that all depends on the codes.
    mended = []
    for packed, size in bits:
        reader = zlib.decompressobj(-15)
        try:
            out = reader.decompress(packed[2:])
        except zlib.error:
            continue
        if reader.eof:
            used = packed[:len(packed) - len(reader.unused_data)]
            mended.append((used + struct.pack(">I", zlib.adler32(out)), len(out)))
    compare(mended, "and the checksum made right")
    noise = [(b"\x78\x9c" + draw.randbytes(draw.randrange(200)), draw.randrange(300)) for _ in range(20000)]
    noise += [(b"\x78\x9c" + bytes([draw.choice((4, 5))]) + draw.randbytes(100), 300) for _ in range(20000)]
    compare(noise, "noise")


def main():
    for name, test in list(globals().items()):
        if name.startswith("test_"):
            test()
    return tap.end()


sys.exit(main())
