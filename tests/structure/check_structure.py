#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the shared object is made of, and who may include whom. Prints TAP.

check_structure.py SOURCE_ROOT LIBRARY RUNTIME_ARCHIVE
"""
import os
import re
import subprocess
import sys
import tempfile

ROOT, LIBRARY, RUNTIME = sys.argv[1:4]
HERE = os.path.dirname(os.path.abspath(__file__))
STRIPPED_BYTES_MAX = 400 * 1024
TLS_BYTES_MAX = 256
GLIBC_MAX = (2, 34)
GLIBC_OLDEST_WANTED = (2, 28)
# L0 to L3: a folder may include its own files and those of the folders named.
LAYERS = {
    "protocols": [],
    "runtime": ["protocols"],
    "hooks": ["runtime", "protocols"],
    "preload": ["hooks", "runtime", "protocols"],
}
results = {"count": 0, "failed": 0}


def check(holds, what, details=""):
    results["count"] += 1
    results["failed"] += not holds
    print(f"{'ok' if holds else 'not ok'} {results['count']} - {what}")
    for line in [] if holds else str(details).splitlines()[:20]:
        print("#   " + line)


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


def exports():
    lines = output("nm", "-D", "--defined-only", LIBRARY).splitlines()
    return sorted({line.split()[-1].split("@")[0] for line in lines})


def test_exports():
    with open(os.path.join(HERE, "exports.txt")) as file:
        reviewed = [line.strip() for line in file if line.strip() and not line.startswith("#")]
    difference = set(exports()) ^ set(reviewed)
    check(not difference, f"the {len(reviewed)} exports are those reviewed", sorted(difference))


def test_exports_are_of_libc():
    """What only some programs have (a libssl, a libpq) needs an original per caller and name."""
    libc = re.search(r"libc\.so\.6 => (\S+)", output("ldd", LIBRARY))[1]
    names = {line.split()[-1].split("@")[0] for line in output("nm", "-D", libc).splitlines()}
    strange = set(exports()) - names - {"burdock_is_first"}
    check(not strange, "every hook is a function of libc", sorted(strange))


# What the library may not call from within a host, and what would happen.
FORBIDDEN = {
    "dlopen": "constructors run twice", "dlmopen": "constructors run twice",
    "backtrace": "the host's own may answer", "_Unwind_Backtrace": "exceptions slow down",
    "exit": "the host ends", "abort": "the host ends", "signal": "a handler of the host is lost",
    "sigaction": "a handler of the host is lost", "setitimer": "a timer of the host is lost",
    "timer_create": "signals nobody asked for", "setlocale": "numbers change", "setenv": "a race",
    "getenv": "a race", "printf": "output", "fprintf": "output", "syslog": "output",
    "pthread_atfork": "handlers run in the host's fork", "atexit": "order against the host's own",
}


def test_imports():
    undefined = {line.split()[-1].split("@")[0]
                 for line in output("nm", "-D", "--undefined-only", LIBRARY).splitlines()}
    wrong = sorted(f"{name}: {FORBIDDEN[name]}" for name in undefined & set(FORBIDDEN))
    check(len(undefined) > 20 and not wrong, "nothing is called that a host would notice", wrong)


def test_glibc_versions():
    imports = re.findall(r"UND (\S+)@GLIBC_([0-9.]+)", output("readelf", "-W", "--dyn-syms", LIBRARY))
    versions = {name: tuple(int(part) for part in version.split(".")) for name, version in imports}
    newest = max(versions.values())
    check(newest <= GLIBC_MAX, f"newest glibc version imported: {newest}")
    for name, version in sorted(versions.items()):
        if version > GLIBC_OLDEST_WANTED:
            print(f"# newer than {GLIBC_OLDEST_WANTED}: {name} {version}")


def test_runtime_imports():
    """What the runtime called would otherwise come back to the hooks, or set the host's errno."""
    undefined = {line.split()[-1] for line in output("nm", "-u", RUNTIME).splitlines()
                 if line.strip().startswith("U ")}
    check(not undefined & set(exports()), "the runtime imports no hooked function",
          sorted(undefined & set(exports())))


def test_dlopen():
    """The loader judges RUNPATH by the caller: nothing of ours may stand between."""
    code = output("objdump", "-d", "--no-show-raw-insn", "--disassemble=dlopen", LIBRARY)
    body = re.findall(r"^\s+[0-9a-f]+:\t(.*)$", code, re.M)
    leaves = [line for line in body if re.match(r"(ret|call)", line)]
    jumps = [line for line in body if re.match(r"(jmp\s+\*|br\s)", line)]
    resolve = [line for line in leaves if "hooks_resolve" in line]
    check(jumps and len(leaves) == len(resolve), "dlopen is a tail call", code)


def headers_of(folder):
    return {name for name in os.listdir(os.path.join(ROOT, folder)) if name.endswith(".h")}


def test_includes():
    owner = {}
    for folder in LAYERS:
        for name in headers_of(folder):
            check(name not in owner, f"{name} is one header only") if name in owner else None
            owner[name] = folder
    for folder, below in LAYERS.items():
        wrong = []
        for name in sorted(os.listdir(os.path.join(ROOT, folder))):
            if not name.endswith((".c", ".h", ".S")):
                continue
            with open(os.path.join(ROOT, folder, name)) as file:
                included = re.findall(r'^\s*#\s*include\s+"(?:\.\./)?(?:\w+/)?([\w.-]+)"', file.read(),
                                      re.M)
            wrong += [f"{folder}/{name} includes {owner[header]}/{header}" for header in included
                      if header in owner and owner[header] not in [folder, *below]]
        check(not wrong, f"{folder} includes nothing above it", "\n".join(wrong))


test_dynamic_section()
test_segments()
test_size()
test_exports()
test_exports_are_of_libc()
test_imports()
test_glibc_versions()
test_runtime_imports()
test_dlopen()
test_includes()
print(f"1..{results['count']}")
sys.exit(results["failed"] != 0)
