# SPDX-License-Identifier: Apache-2.0
"""sum_up.py <status of meson test> <its log in JSON>...: failures, skips with their reasons, and the
line "N passed, N failed, N skipped". Each result of a TAP test counts. Ends with 1 if any failed.

Not from meson's JUnit report: there a test that ran out of time, or died after its last result, is
none that failed."""
import json
import re
import sys

CASE = re.compile(r"^(ok|not ok)\b *\d* *-? *(.*?)(?: *# SKIP *(.*))?$", re.M | re.I)
NOTHING_TO_DO = re.compile(r"^1\.\.0 # SKIP *(.*)", re.M | re.I)


def results(test):
    """(outcome, label) of each result of a test, and of the whole where they do not tell."""
    name, output, verdict = test["name"], test.get("stdout", ""), test["result"]
    found = []
    for said, case, reason in CASE.findall(output):
        outcome = "failed" if said.lower() == "not ok" else "skipped" if reason else "passed"
        found.append((outcome, f"{name}: {case}" + f": {reason}" * bool(reason)))
    if verdict == "SKIP" and not found:
        reason = NOTHING_TO_DO.search(output)
        return [("skipped", f"{name}: {reason.group(1) if reason else 'no reason given'}")]
    if verdict in ("OK", "SKIP"):
        return found or [("passed", name)]
    if verdict not in ("FAIL", "ERROR") or not any(outcome == "failed" for outcome, _ in found):
        found.append(("failed", f"{name}: {verdict.lower()}, status {test.get('returncode')}"))
    return found


def read(log):
    try:
        with open(log) as lines:
            return [each for line in lines for each in results(json.loads(line))]
    except OSError:
        return []


def main():
    status, logs = int(sys.argv[1]), sys.argv[2:]
    counts = dict.fromkeys(("passed", "failed", "skipped"), 0)
    for log in logs:
        for outcome, label in read(log) or [("failed", f"{log}: tells of no test")]:
            counts[outcome] += 1
            if outcome != "passed":
                print(f"{outcome:7} {label}")
    if status != 0 and counts["failed"] == 0:
        counts["failed"] = 1
        print(f"failed  the run itself, with status {status}; see build/meson-logs")
    print(", ".join(f"{count} {outcome}" for outcome, count in counts.items()))
    return counts["failed"] != 0


if __name__ == "__main__":
    sys.exit(main())
