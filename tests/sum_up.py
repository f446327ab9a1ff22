# SPDX-License-Identifier: Apache-2.0
"""sum_up.py <status of meson test> <JUnit report>...: failures, skips with their reasons, and the
line "N passed, N failed, N skipped". Each result of a TAP test counts. Ends with 1 if any failed."""
import re
import sys
import xml.etree.ElementTree as xml


def reason_of(case, suite):
    """The report has no reason of a skip; the test's own output has."""
    output = "\n".join(suite.itertext())
    name = re.escape(case.get("name", ""))
    found = re.search(r"ok %s # SKIP (.*)" % name, output, re.I) or \
        re.search(r"1\.\.0 # SKIP (.*)", output, re.I)
    skipped = case.find("skipped")
    return (skipped.get("message") or skipped.text if skipped is not None else None) or \
        (found.group(1) if found else "no reason given")


def main():
    status, reports = int(sys.argv[1]), sys.argv[2:]
    passed = failed = skipped = 0
    for report in reports:
        for suite in xml.parse(report).getroot().iter("testsuite"):
            for case in suite.iter("testcase"):
                label = "%s: %s" % (suite.get("name"), case.get("name"))
                if case.find("failure") is not None or case.find("error") is not None:
                    failed += 1
                    print("failed  " + label)
                elif case.find("skipped") is not None:
                    skipped += 1
                    print("skipped %s: %s" % (label, reason_of(case, suite)))
                else:
                    passed += 1
    if status != 0 and failed == 0:
        failed = 1
        print("failed  the run itself, with status %d; see build/meson-logs" % status)
    print("%d passed, %d failed, %d skipped" % (passed, failed, skipped))
    return failed != 0


sys.exit(main())
