# SPDX-License-Identifier: Apache-2.0
"""Lines of code, by runtime/source_lines.c and by addr2line: for every address of the code of
programs built by gcc and clang, as DWARF 2 to 5. TAP.

There are two judges, since neither is always right: that of binutils gives some inlined code the
name of another source, and does not read 64-bit DWARF. What both say we say; else what one says.

test_lines.py LINES_OF SOURCES
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import tap
from tap import check

LINES_OF, SOURCES = sys.argv[1:]
JUDGES = ["addr2line", shutil.which("llvm-addr2line") or "llvm-addr2line-14"]


def output(*command, **options):
    return subprocess.run(command, check=True, capture_output=True, text=True, **options).stdout


def addresses(program):
    """Of all code in sections of the program's own, one by one."""
    found = []
    for _, start, size in re.findall(r"(\.text\S*|\.init|\.fini)\s+PROGBITS\s+(\w+)\s+\w+\s+(\w+)",
                                     output("readelf", "-SW", program)):
        found += range(int(start, 16), int(start, 16) + int(size, 16))
    return "".join(f"{address:x}\n" for address in found)


def ours(program, asked):
    return output(LINES_OF, program, input=asked).splitlines()


def theirs(judge, program, asked):
    """Without what addr2line adds, and as ours where it knows no line."""
    lines = (line.split(" (")[0] for line in output(judge, "-e", program, input=asked).splitlines())
    return [line if re.search(r":[1-9][0-9]*$", line) else "?:0" for line in lines]


def is_same(one, other, is_old):
    """Before DWARF 5 the tables do not say where the compiler worked."""
    return one == other or (is_old and one != "?:0" and other.endswith("/" + one))


def compare(program, what, is_old=False, of=None):
    asked = addresses(program)
    answers = list(zip(ours(program, asked), *(theirs(judge, of or program, asked)
                                               for judge in JUDGES), asked.split()))
    known = sum(answer[0] != "?:0" for answer in answers)
    differ = [answer for answer in answers
              if not any(is_same(answer[0], other, is_old) for other in answer[1:-1])]
    check(known > 200 and not differ, f"{what}: {known} of {len(answers)} addresses have a line",
          "%d differ\n" % len(differ) + "\n".join(" ".join(answer) for answer in differ))


def build(out, compiler, *flags, sources=("shop.c", "parts/price.c")):
    subprocess.run([compiler, "-O2", *flags, "-o", out, *sources], check=True, cwd=SOURCES,
                   capture_output=True)
    return out


def test_compilers(work):
    for compiler in filter(shutil.which, ["gcc", "clang"]):
        for version in (2, 3, 4, 5):
            program = build(os.path.join(work, "program"), compiler, f"-gdwarf-{version}")
            compare(program, f"{compiler}, DWARF {version}", is_old=version < 5)
            dynamic = build(os.path.join(work, "fixed"), compiler, f"-gdwarf-{version}", "-no-pie",
                            "-ffunction-sections", "-Wl,--gc-sections", "-O0")
            compare(dynamic, f"{compiler}, DWARF {version}, at fixed addresses", is_old=version < 5)


def test_forms(work):
    program = os.path.join(work, "program")
    build(program, "gcc", "-gdwarf-5", "-gdwarf64")
    compare(program, "64-bit DWARF")
    build(program, "gcc", "-gdwarf-5", "-gno-as-loc-support")
    compare(program, "tables that the compiler writes itself")
    build(program, "gcc", "-gdwarf-5", "-flto")
    compare(program, "link-time optimisation")
    build(program, "gcc", "-gdwarf-5", os.path.join(SOURCES, "shop.c"), sources=["parts/price.c"])
    compare(program, "a source by its whole path")


def test_cpp(work):
    for compiler in filter(shutil.which, ["g++", "clang++"]):
        for version in (4, 5):
            program = os.path.join(work, "store")
            subprocess.run([compiler, "-O1", f"-gdwarf-{version}", "-o", program, "store.cpp",
                            "-x", "c++", "parts/price.c"], check=True, cwd=SOURCES)
            compare(program, f"{compiler}, DWARF {version}", is_old=version < 5)


def separate(work, name, *flags):
    """A stripped program, and its debug file."""
    program = build(os.path.join(work, name), "gcc", "-gdwarf-5", *flags)
    subprocess.run(["objcopy", "--only-keep-debug", program, program + ".debug"], check=True)
    whole = shutil.copy(program, program + ".whole")
    subprocess.run(["strip", program], check=True)
    subprocess.run(["objcopy", f"--add-gnu-debuglink={program}.debug", program], check=True)
    return program, whole


def test_separate(work):
    program, whole = separate(work, "linked")
    compare(program, "a debug file beside the program", of=whole)
    os.mkdir(os.path.join(work, ".debug"))
    os.rename(program + ".debug", os.path.join(work, ".debug/linked.debug"))
    compare(program, "a debug file in .debug", of=whole)
    asked = addresses(program)
    other = build(os.path.join(work, "other"), "gcc", "-gdwarf-5", "-O0")
    shutil.copy(other, os.path.join(work, ".debug/linked.debug"))
    check(set(ours(program, asked)) == {"?:0"}, "that of another program is not taken")
    program, whole = separate(work, "nameless", "-Wl,--build-id=none")
    check(set(ours(program, addresses(program))) == {"?:0"}, "nor one that cannot be told to be its")


def test_build_id(work):
    """Only where the machine has such a folder of root's to put a file into and take it out again."""
    # Nobody else's: the same test of another build may look at that folder meanwhile.
    program, whole = separate(work, "identified", "-Wl,--build-id=0x" + os.urandom(20).hex())
    build_id = re.search(r"Build ID: (\w+)", output("readelf", "-n", program))[1]
    place = f"/usr/lib/debug/.build-id/{build_id[:2]}/{build_id[2:]}.debug"
    made = not os.path.isdir(os.path.dirname(place))
    try:
        os.makedirs(os.path.dirname(place), exist_ok=True)
        os.rename(program + ".debug", place)
    except OSError as error:
        tap.skip("a debug file by its build-id", error)
        return
    try:
        compare(program, "a debug file by its build-id", of=whole)
    finally:
        os.unlink(place)
        if made:
            os.rmdir(os.path.dirname(place))


def test_packed(work):
    for version in (4, 5):
        program = build(os.path.join(work, "packed"), "gcc", f"-gdwarf-{version}", "-gz=zlib")
        check("COMPRESSED" in output("readelf", "-t", program), "the sections are compressed")
        compare(program, f"compressed by zlib, DWARF {version}", is_old=version < 5)
    program, whole = separate(work, "apart")
    subprocess.run(["objcopy", "--compress-debug-sections=zlib", program + ".debug"], check=True)
    compare(program, "a compressed debug file", of=whole)


def test_refused(work):
    """Compressed by zlib and changed since, or by zstd."""
    program = build(os.path.join(work, "broken"), "gcc", "-gdwarf-5", "-gz=zlib")
    asked = addresses(program)
    offset, size = (int(number, 16) for number in re.search(
        r"\.debug_line\s+PROGBITS\s+\w+\s+(\w+)\s+(\w+)", output("readelf", "-SW", program)).groups())
    with open(program, "r+b") as file:
        file.seek(offset + size // 2)
        byte = file.read(1)[0]
        file.seek(offset + size // 2)
        file.write(bytes([byte ^ 0x55]))
    check(set(ours(program, asked)) == {"?:0"}, "a broken stream: nothing is told of it")
    if subprocess.run(["objcopy", "--compress-debug-sections=zstd", program, program + ".zstd"],
                      capture_output=True).returncode == 0:
        program = build(os.path.join(work, "zstd"), "gcc", "-gdwarf-5")
        subprocess.run(["objcopy", "--compress-debug-sections=zstd", program], check=True)
        check(set(ours(program, addresses(program))) == {"?:0"}, "compressed by zstd: not read")
    program = build(os.path.join(work, "bare"), "gcc", "-g0")
    check(set(ours(program, addresses(program))) == {"?:0"},
          "without debug information nothing is told of its code")


def main():
    if not all(map(shutil.which, JUDGES)):
        print("1..0 # SKIP one of", *JUDGES, "is not there")
        return False
    for name, test in list(globals().items()):
        if name.startswith("test_"):
            with tempfile.TemporaryDirectory() as work:
                test(work)
    return tap.end()


sys.exit(main())
