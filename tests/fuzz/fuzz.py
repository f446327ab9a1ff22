#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""fuzz.py replay TARGET CORPUS SOURCE_ROOT: every input of the corpus, and how much of the code they
reach against the floors below. Prints TAP.
fuzz.py search TARGET CORPUS: ten seconds (FUZZ_SECONDS) of looking for more; ends with 1 at a find.
fuzz.py pack CORPUS DIRECTORY: what a search found, minimised by -merge=1, becomes the corpus."""
import base64
import glob
import json
import os
import subprocess
import sys
import tempfile

# Percent of the lines of these files that the corpora reach, by target.
FLOORS = {
    "stream": {
        "hooks/posix_read.c": 55, "hooks/posix_write.c": 55, "hooks/descriptors.c": 25,
        "runtime/stream.c": 80, "runtime/stream_feed.c": 90, "runtime/stream_exchange.c": 90,
        "runtime/stream_descriptors.c": 75, "runtime/stream_ends.c": 80, "runtime/inject.c": 85,
        "runtime/look_ahead.c": 80,
        "runtime/exchange.c": 80, "runtime/exchange_lines.c": 80, "runtime/telling.c": 85,
        "runtime/propagators_inject.c": 40, # formats that are not asked for there
        "protocols/context_names.c": 90,
        "runtime/otlp.c": 85, # no TLS there, and so no events
        "protocols/http1_head.c": 95, "protocols/http1_describe.c": 95,
        "protocols/http1_cloud.c": 90, "protocols/http1_cloud_body.c": 65,
        "protocols/http1_cloud_names.c": 70, "protocols/http1_cloud_describe.c": 90,
        "protocols/http1_elastic.c": 90, "protocols/http1_elastic_describe.c": 90,
        "protocols/cgi_connection.c": 80, "protocols/uwsgi.c": 90, "protocols/scgi.c": 90,
    },
    "parsers": {
        "runtime/log_severity.c": 85, "runtime/telling_log.c": 85, "runtime/otlp_log.c": 85,
        "runtime/config.c": 82, "runtime/config_otlp.c": 80, "runtime/config_values.c": 75,
        "runtime/url.c": 95, "runtime/propagation.c": 95, "runtime/http_answer.c": 90,
        "runtime/otlp_answer.c": 80, "runtime/service_name.c": 95, "runtime/address.c": 95,
        "runtime/telling_tls.c": 95,
    },
    "json": {
        "runtime/json_find.c": 95, "runtime/json_read.c": 95, "runtime/strategy.c": 95,
        "runtime/xray_rules.c": 85, "runtime/xray_targets.c": 65,
    },
    "relay": {
        "relay/request.c": 95, "relay/clients.c": 80, "relay/grpc.c": 70, "relay/transfer.c": 28, # the rest asks libcurl
        "relay/tally.c": 80,
    },
    "lines": {
        "runtime/line_program.c": 95, "runtime/line_names.c": 95, "runtime/line_bytes.c": 95,
        "runtime/elf_file.c": 90, "runtime/debug_file.c": 90, "runtime/source_lines.c": 72, "runtime/unpack.c": 95,
    },
    "sql": {
        "protocols/sql_lex.c": 95, "protocols/sql_read.c": 95, "protocols/sql_sanitize.c": 95,
        "protocols/sql_summarize.c": 95, "protocols/sql_comment.c": 95,
        "protocols/sql_kept.c": 80,
    },
}


def unpack(corpus, directory):
    with open(corpus) as lines:
        for number, line in enumerate(lines):
            if not line.startswith("#"):
                with open(os.path.join(directory, "%04d" % number), "wb") as file:
                    file.write(base64.b64decode(line))
    return len(os.listdir(directory))


def pack(corpus, directory):
    with open(corpus) as lines:
        head = [line for line in lines if line.startswith("#")]
    found = set()
    for path in glob.glob(os.path.join(directory, "*")):
        with open(path, "rb") as file:
            found.add(base64.b64encode(file.read()).decode() + "\n")
    with open(corpus, "w") as file:
        file.writelines(head + sorted(found, key=lambda line: (len(line), line)))


def tool(name):
    """Of the compiler's own version: the format of profiles changes."""
    path = subprocess.run(["clang", "-print-prog-name=" + name], capture_output=True, text=True)
    return path.stdout.strip()


def coverage(target, profile, root):
    merged = profile + ".merged"
    subprocess.run([tool("llvm-profdata"), "merge", "-o", merged, profile], check=True)
    report = subprocess.run([tool("llvm-cov"), "export", "-summary-only", "-instr-profile", merged,
                             target], check=True, capture_output=True, text=True)
    return {os.path.relpath(os.path.realpath(file["filename"]), root):
            file["summary"]["lines"]["percent"]
            for file in json.loads(report.stdout)["data"][0]["files"]}


def replay(target, corpus, root):
    target = os.path.abspath(target)
    floors = FLOORS[os.path.basename(target).split("_")[1]]
    with tempfile.TemporaryDirectory() as work:
        inputs, profile = os.path.join(work, "inputs"), os.path.join(work, "profile")
        os.mkdir(inputs)
        count = unpack(corpus, inputs)
        done = subprocess.run([target, *glob.glob(inputs + "/*")], capture_output=True, text=True,
                              env=dict(os.environ, LLVM_PROFILE_FILE=profile), cwd=work)
        print("%s 1 - %d inputs of the corpus" % ("not ok" if done.returncode else "ok", count))
        for line in done.stderr.splitlines() if done.returncode else []:
            if not line.startswith(("INFO", "Running", "Executed")):
                print("# " + line)
        if done.returncode or not os.path.exists(tool("llvm-cov")):
            print("ok 2 - coverage # SKIP " + ("it ended early" if done.returncode else "no llvm-cov"))
            print("1..2")
            return bool(done.returncode)
        reached = coverage(target, profile, os.path.realpath(root))
    low = [name for name, floor in floors.items() if reached.get(name, 0) < floor]
    for number, (name, floor) in enumerate(floors.items(), 2):
        print("%s %d - %s: at least %d %% of the lines are reached: %d" % (
            "not ok" if name in low else "ok", number, name, floor, reached.get(name, 0)))
    print("1..%d" % (len(floors) + 1))
    return bool(low)


def search(target, corpus):
    with tempfile.TemporaryDirectory() as work:
        unpack(corpus, work)
        return subprocess.run([
            target, "-max_total_time=" + os.environ.get("FUZZ_SECONDS", "10"), "-max_len=2048",
            "-artifact_prefix=" + os.environ.get("FUZZ_CRASHES", "./"), "-error_exitcode=1",
            work], env=dict(os.environ, LLVM_PROFILE_FILE="/dev/null")).returncode


if __name__ == "__main__":
    sys.exit({"replay": replay, "search": search, "pack": pack}[sys.argv[1]](*sys.argv[2:]))
