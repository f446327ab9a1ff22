#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the shared object is made of, and who may include whom. Prints TAP.

check_structure.py SOURCE_ROOT LIBRARY OBJECT_OR_ARCHIVE...   what the library is linked from
"""
import os
import re
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import tap
from tap import check

ROOT, LIBRARY, *PARTS = sys.argv[1:]
HERE = os.path.dirname(os.path.abspath(__file__))
STRIPPED_BYTES_MAX = 920 * 1024
RELOCATIONS_MAX = 1100 # every start makes them; a table of texts needs none (text_nth)
TLS_BYTES_MAX = 256
GLIBC_FLOOR = (2, 28)
# L0 to L4: a folder may include its own files and those of the folders named.
LAYERS = {
    "protocols": [],
    "runtime": ["protocols"],
    "hooks": ["runtime", "protocols"],
    "carriers": ["hooks", "runtime", "protocols"],
    "preload": ["carriers", "hooks", "runtime", "protocols"],
}


def output(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_dynamic_section():
    dynamic = output("readelf", "-dW", LIBRARY)
    needed = set(re.findall(r"NEEDED.*\[(.*)\]", dynamic))
    unexpected = {name for name in needed if name != "libc.so.6" and not name.startswith("ld-linux")}
    check("libc.so.6" in needed and not unexpected, "libc is all that is needed", needed)
    check(not re.search("TEXTREL|RPATH|RUNPATH", dynamic), "no TEXTREL, no RPATH", dynamic)
    check("BIND_NOW" in dynamic or "NOW" in dynamic, "bound at load", dynamic)


def test_segments():
    segments = output("readelf", "-lW", LIBRARY)
    stack = re.search(r"GNU_STACK.*", segments)
    check(stack and re.search(r"\bRW\s", stack[0]), "the stack is not executable", stack and stack[0])
    check(not re.search(r"LOAD.*RWE", segments), "no segment is written and executed", segments)
    thread = re.search(r"^\s*TLS\s+\S+\s+\S+\s+\S+\s+\S+\s+(\S+)", segments, re.M)
    size = int(thread[1], 16) if thread else 0
    check(size < TLS_BYTES_MAX, f"thread-local storage: {size} bytes")


def test_size():
    with tempfile.NamedTemporaryFile() as stripped:
        output("strip", "-o", stripped.name, LIBRARY)
        size = os.path.getsize(stripped.name)
    check(size <= STRIPPED_BYTES_MAX, f"stripped: {size} bytes")


def test_relocations():
    count = output("readelf", "-rW", LIBRARY).count("R_")
    check(0 < count <= RELOCATIONS_MAX, f"relocations: {count}")


def reviewed(name):
    with open(os.path.join(HERE, name)) as file:
        return {line.strip() for line in file if line.strip() and not line.startswith("#")}


def exports():
    """Hooks of libraries other than libc with their version: not for who asks for the name alone."""
    return {name.split("@@GLIBC_")[0] for name in exports_with_versions()}


def exports_with_versions():
    lines = [line.split() for line in output("nm", "-D", "--defined-only", LIBRARY).splitlines()]
    return {name for _, kind, name in lines if kind != "A"}


def hooks():
    return {name.split("@")[0] for name in exports() - {"burdock_is_first"}}


def test_exports():
    difference = exports() ^ reviewed("exports.txt")
    check(not difference, f"the {len(exports())} exports are those reviewed", sorted(difference))


def check_older_versions(libc):
    """Where libc has two functions of one name, ours stands in front of the newer one alone."""
    lines = [line.split() for line in output("nm", "-D", "--defined-only", libc).splitlines()]
    of_libc = {line[2]: line[0] for line in lines if len(line) == 3}
    places = {}
    for name, place in of_libc.items():
        places.setdefault(name.split("@")[0], set()).add(place)
    wanted = {name for name in of_libc if "@@" in name and len(places[name.split("@")[0]]) > 1 and
              name.split("@")[0] in exports()}
    found = {name for name in exports_with_versions() if "@@" in name}
    check(found == wanted, "an older function of libc's is left to who asks for it",
          sorted(found ^ wanted))


def test_exports_are_of_libc():
    """What only some programs have (a libssl, a libsqlite3) is exported under its versions only, or
    under our first one, which names without a version are bound to, but not by dlsym; under both where
    its builds differ in that (libcurl)."""
    versions = re.findall(r"Index: (\d+) .*Name: (\S+)", output("readelf", "-VW", LIBRARY))
    first = [name for name in exports() if name.endswith("@BURDOCK")]
    known = ("sqlite3_", "rd_kafka_", "lua_", "make_fcontext", "redis", "__redis", "event_",
             "evhttp_", "curl_")
    check(("2", "BURDOCK") in versions and all(name.startswith(known) for name in first),
          "the first version is of libraries that may be without any", [*versions, *first])
    twice = [name for name in exports() if "@@" in name]
    check(not twice, "no version is the default one", twice)
    libc = re.search(r"libc\.so\.6 => (\S+)", output("ldd", LIBRARY))[1]
    names = {line.split()[-1].split("@")[0] for line in output("nm", "-D", libc).splitlines()}
    strange = {name for name in exports() - {"burdock_is_first"} if "@" not in name} - names
    check_older_versions(libc)
    check(not strange, "every hook without a version is a function of libc", sorted(strange))


def undefined(*options):
    """Names that are needed from elsewhere, but for weak ones of the toolchain."""
    lines = [line.split() for line in output("nm", "-u", *options).splitlines()]
    return {fields[-1].split("@")[0] for fields in lines if fields[:1] == ["U"]}


def test_imports():
    more = undefined("-D", LIBRARY) - reviewed("imports.txt")
    check(not more, "nothing is imported that was not reviewed", sorted(more))


def version_of(text):
    return tuple(int(part) for part in text.split("."))


def test_glibc_floor():
    """The loader refuses an object whose needed versions the C library does not have."""
    needs = output("readelf", "-VW", LIBRARY).partition(".gnu.version_r")[2]
    names = re.findall(r"Name: (\S+)", needs)
    newer = [name for name in names if not re.fullmatch(r"GLIBC_[0-9.]+", name) or
             version_of(name[6:]) > GLIBC_FLOOR]
    check(names and not newer, "no newer glibc is needed than %d.%d" % GLIBC_FLOOR, newer or names)


def test_stand_ins():
    """What the oldest glibc lacks, or has in another library, must not be called as if it were there."""
    libc = re.search(r"=> (\S*libc\.so\.6)", output("ldd", LIBRARY))[1]
    defined = re.findall(r" (\w+)@+GLIBC_([0-9.]+)", output("readelf", "-W", "--dyn-syms", libc))
    newer = {name for name, version in defined if version_of(version) > GLIBC_FLOOR} & exports()
    there = set(re.findall(r" t absent_(\w+)", output("nm", LIBRARY)))
    check(newer <= there, "hooks that the oldest glibc lacks have a stand-in", sorted(newer - there))


def test_parts():
    """What our code called by a hook's name would come back to us, or set the host's errno."""
    check(PARTS, "the library's parts are given")
    for part in PARTS:
        called = undefined(part) & hooks()
        check(not called, os.path.basename(part) + " calls nothing that is hooked", sorted(called))


def test_calls():
    """The same for what is linked in: libraries that are not ours."""
    code = output("objdump", "-d", "--no-show-raw-insn", LIBRARY)
    jumps = re.findall(r"\b(?:call|jmp|bl?)\s+[0-9a-f]+ <(\w+)(?:@plt)?>", code)
    check(len(jumps) > 1000 and not set(jumps) & hooks(), "no call in the library leads to a hook",
          sorted(set(jumps) & hooks()) or len(jumps))


def test_dlopen():
    """The loader judges RUNPATH by the caller: nothing of ours may stand between. What is called before
    is hooks_resolve, and a carrier by its pointer; there is no way out but a jump."""
    code = output("objdump", "-d", "--no-show-raw-insn", "--disassemble=dlopen", LIBRARY)
    body = re.findall(r"^\s+[0-9a-f]+:\t(.*)$", code, re.M)
    leaves = [line for line in body if re.match(r"(ret|call)", line)]
    jumps = [line for line in body if re.match(r"(jmp\s+\*|br\s)", line)]
    before = [line for line in leaves if "hooks_resolve" in line or re.match(r"call\s+\*%", line)]
    check(jumps and len(leaves) == len(before), "dlopen is a tail call", code)


def test_heap():
    """What watches the allocator is another object, made of nearly nothing."""
    library = os.path.join(os.path.dirname(LIBRARY), "libburdock-heap.so")
    needed = set(re.findall(r"NEEDED.*\[(.*)\]", output("readelf", "-dW", library)))
    check(needed <= {"libc.so.6"} | {name for name in needed if name.startswith("ld-linux")},
          "heap: libc is all that is needed", needed)
    check("TLS" not in output("readelf", "-lW", library), "heap: no thread-local storage")
    lines = [line.split() for line in output("nm", "-D", "--defined-only", library).splitlines()]
    with open(os.path.join(ROOT, "preload/heap.map")) as file:
        listed = set(re.findall(r"(\w+);", file.read().partition("local")[0]))
    check({name for _, _, name in lines} == listed, "heap: the exports are those listed",
          sorted({name for _, _, name in lines} ^ listed))
    versions = re.findall(r"Name: GLIBC_([0-9.]+)", output("readelf", "-VW", library))
    check(versions and max(map(version_of, versions)) <= GLIBC_FLOOR, "heap: no newer glibc is needed",
          versions)


def sources_of(folder):
    """Files of a folder and of those below it, but for tests, from the root."""
    for path, folders, names in os.walk(os.path.join(ROOT, folder)):
        folders[:] = [name for name in folders if name not in ("tests", "vectors")]
        yield from (os.path.relpath(os.path.join(path, name), ROOT) for name in sorted(names)
                    if name.endswith((".c", ".h", ".S")))


def test_includes():
    owner = {}
    for folder in LAYERS:
        for path in sources_of(folder):
            name = os.path.basename(path)
            if name.endswith(".h"):
                check(name not in owner, f"{name} is one header only") if name in owner else None
                owner[name] = folder
    for folder, below in LAYERS.items():
        wrong = []
        for path in sources_of(folder):
            with open(os.path.join(ROOT, path)) as file:
                included = re.findall(r'^\s*#\s*include\s+"(?:\.\./)?(?:\w+/)?([\w.-]+)"', file.read(),
                                      re.M)
            wrong += [f"{path} includes {owner[header]}/{header}" for header in included
                      if header in owner and owner[header] not in [folder, *below]]
        check(not wrong, f"{folder} includes nothing above it", "\n".join(wrong))


test_dynamic_section()
test_segments()
test_size()
test_relocations()
test_exports()
test_exports_are_of_libc()
test_imports()
test_glibc_floor()
test_stand_ins()
test_parts()
test_calls()
test_dlopen()
test_includes()
test_heap()
sys.exit(tap.end())
