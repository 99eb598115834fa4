# SPDX-License-Identifier: MIT
"""
pytests: run one of Python's own test modules and print a verdict per test.

	pytests.py MODULE FILE

The verdicts go to FILE, sorted, without times and addresses; what the tests
themselves print goes where it goes. A failure is followed by its traceback.
"""

import sys
import unittest


class Verdicts(unittest.TestResult):
    """Collects (test, verdict, detail)."""

    def __init__(self):
        super().__init__()
        self.rows = []

    def addSuccess(self, test):
        super().addSuccess(test)
        self.rows.append((test.id(), "ok", ""))

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self.rows.append((test.id(), "skipped", ""))

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self.rows.append((test.id(), "FAILED", self.failures[-1][1]))

    def addError(self, test, err):
        super().addError(test, err)
        self.rows.append((test.id(), "ERROR", self.errors[-1][1]))

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err:
            self.rows.append((test.id(), "FAILED",
                              self._exc_info_to_string(err, test)))


if __name__ == "__main__":
    result = Verdicts()
    unittest.defaultTestLoader.loadTestsFromName(sys.argv[1]).run(result)
    with open(sys.argv[2], "w", encoding="utf-8") as f:
        for row in sorted(result.rows):
            print(*row, file=f)
    sys.exit(not result.wasSuccessful())
