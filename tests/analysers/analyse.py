#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""analyse.py cppcheck|gcc|clang-tidy SOURCE_ROOT BUILD_ROOT: static analysis of what is linked into
the library, the command and the relay. A finding is mended, or stands in ACCEPTED with the reason. Prints TAP."""
import concurrent.futures
import glob
import os
import re
import shutil
import subprocess
import sys

TOOL, ROOT, BUILD = sys.argv[1], os.path.realpath(sys.argv[2]), os.path.realpath(sys.argv[3])
INCLUDES = ["-I" + os.path.join(ROOT, folder) for folder in ("hooks", "runtime", "protocols", "carriers", "cli", "relay")]
DEFINES = ["-D_GNU_SOURCE", '-DBURDOCK_VERSION="0"']

# Left out of clang-tidy, with the reason.
#   easily-swappable-parameters, reserved-identifier, macro-parentheses, branch-clone,
#   assignment-in-if-condition: matters of style, of which docs/STYLE.md decides
#   narrowing-conversions, implicit-widening: compilers warn where it matters
#   not-null-terminated-result: texts are kept with their lengths
#   DeprecatedOrUnsafeBufferHandling, strcpy: ask for memcpy_s and strlcpy, which glibc does not have
CHECKS = """-*,bugprone-*,clang-analyzer-*,misc-redundant-expression,
 readability-misleading-indentation,-bugprone-easily-swappable-parameters,
 -bugprone-reserved-identifier,-bugprone-macro-parentheses,-bugprone-branch-clone,
 -bugprone-assignment-in-if-condition,-bugprone-narrowing-conversions,
 -bugprone-implicit-widening-of-multiplication-result,-bugprone-not-null-terminated-result,
 -clang-analyzer-security.insecureAPI.strcpy,
 -clang-analyzer-security.insecureAPI.DeprecatedOrUnsafeBufferHandling"""

# (tool, file, finding): why it is none.
ACCEPTED = {
    ("cppcheck", "hooks/resolve.c", "comparePointers"):
        "the linker's marks of a section's start and end are of one object",
    ("cppcheck", "runtime/telling.c", "arrayIndexThenCheck"):
        "the table ends with NULL; the other condition stops earlier",
    ("cppcheck", "runtime/copy.h", "pointerOutOfBoundsCond"):
        "texts of a known length take the branch for theirs (runtime/open.c), not that for 32 bytes",
    ("cppcheck", "cli/waterfall.c", "ctuPointerArith"):
        "the loop that fills the buffer from its end is bounded by DEPTH_MAX, and so is its size",
    ("gcc", "cli/archive.c", "-Wanalyzer-null-argument"):
        "names come from is_archive, which refuses those without a run",
    ("clang-tidy", "cli/archive.c", "clang-analyzer-core.UndefinedBinaryOperatorResult"):
        "run_of sets the length wherever it answers a run",
    ("clang-tidy", "cli/library.c", "bugprone-suspicious-missing-comma"):
        "the path is put together from two literals",
    ("clang-tidy", "carriers/python/queue.c", "clang-analyzer-core.DivideZero"):
        "what is kept of an array has room in it",
    ("clang-tidy", "cli/show.c", "bugprone-sizeof-expression"):
        "the list holds pointers",
    ("clang-tidy", "cli/sql.c", "bugprone-sizeof-expression"):
        "the list holds pointers",
    ("clang-tidy", "hooks/descriptors.c", "clang-analyzer-valist.Uninitialized"):
        "va_start stands before the loop; the analyzer loses it there",
    ("clang-tidy", "protocols/http1_head.c", "bugprone-signed-char-misuse"):
        "the literal is ASCII",
}

COMMANDS = {
    "cppcheck": lambda file: ["cppcheck", "--quiet", "--enable=warning,performance,portability",
                              "--std=c11", "-D__x86_64__", *INCLUDES, "-D__STDC_HOSTED__=1",
                              "-DElfW(type)=Elf64_##type",
                              "--template={file}:{line}:0: warning: {message} [{id}]", file],
    "gcc": lambda file: ["gcc", "-fanalyzer", "-O2", "-S", "-o", os.devnull, "-std=gnu11", *DEFINES,
                         *INCLUDES, "-I" + os.path.join(BUILD, "runtime"),
                         "-I" + os.path.join(BUILD, "relay"), file],
    "clang-tidy": lambda file: [tidy(), "--quiet", "-p", BUILD, "--checks=" + "".join(CHECKS.split()),
                                "--extra-arg=-Wno-unknown-warning-option", file],
}


def tidy():
    return shutil.which("clang-tidy") or shutil.which("clang-tidy-14")


def analyse(file):
    """The findings of one file, and whether the tool ran."""
    done = subprocess.run(COMMANDS[TOOL](file), capture_output=True, text=True, cwd=BUILD)
    lines = re.findall(r"^(\S+?):(\d+):\d+: (?:warning|error): (.*) \[(?:CWE-\d+\] \[)?([\w.,-]+)[\]=]",
                       done.stdout + done.stderr, re.M)
    return [(os.path.relpath(os.path.realpath(os.path.join(BUILD, name)), ROOT), line, text, kind)
            for name, line, text, kind in lines], done


def main():
    if not (tidy() if TOOL == "clang-tidy" else shutil.which(TOOL)):
        print("1..0 # SKIP %s is not installed" % TOOL)
        return 0
    folders = ["runtime", "protocols", "hooks", "carriers", "carriers/*", "preload", "cli"]
    if os.path.exists(os.path.join(BUILD, "relay/burdock-relay")):  # else its headers are not there
        folders.append("relay")
    files = sorted(sum((glob.glob(os.path.join(ROOT, folder, "*.c")) for folder in folders), []))
    found, failed = set(), []
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for file, (findings, done) in zip(files, pool.map(analyse, files)):
            found.update(findings)
            if done.returncode and not findings:
                failed.append("%s\n%s" % (file, done.stderr[-500:]))
    seen = {(TOOL, file, kind) for file, _, _, kind in found}
    new = sorted(item for item in found if (TOOL, item[0], item[3]) not in ACCEPTED)
    stale = [key for key in ACCEPTED if key[0] == TOOL and key not in seen]
    for number, (problems, what) in enumerate((
            (failed, "%s reads %d files" % (TOOL, len(files))),
            (["%s:%s: %s [%s]" % item for item in new], "it finds nothing that is not accepted"),
            (["%s: %s" % key[1:] for key in stale], "what is accepted is still found")), 1):
        print("%s %d - %s" % ("not ok" if problems else "ok", number, what))
        for problem in problems:
            print("".join("#   %s\n" % line for line in problem.splitlines()), end="")
    print("1..3")
    return bool(failed or new or stale)


sys.exit(main())
