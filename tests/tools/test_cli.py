#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The command line: help, wrong usage, completion, man page.

test_cli.py GOSTAT MANUAL LIBRARY-MANUAL
"""
import os
import re
import shutil
import subprocess
import sys
import unittest

GOSTAT, MAN, LIBRARY_MAN = (os.path.abspath(p) for p in sys.argv[1:4])


def gostat(*args, **env):
    return subprocess.run([GOSTAT, *args], text=True, capture_output=True,
                          env={**os.environ, **env})


def verbs():
    text = gostat("--help").stdout
    return re.findall(r"^  (\w+) ", text.split("Options:")[0], re.M)


def options(*verb):
    text = gostat(*verb, "--help").stdout.split("\nOptions:\n")[1]
    return re.findall(r"^  (?:-(\w), |    )--([\w-]+)", text, re.M)


class Cli(unittest.TestCase):
    def test_help(self):
        self.assertIn("leakcheck", verbs())
        self.assertEqual(gostat("-h").stdout, gostat("--help").stdout)
        for v in verbs():
            r = gostat(v, "--help")
            self.assertEqual((r.returncode, r.stderr), (0, ""))
            self.assertTrue(r.stdout.startswith(f"Usage: gostat {v} "))
            self.assertEqual(r.stdout, gostat(v, "-h").stdout)
            self.assertIn(("", "color"), options(v))
        for v in [()] + [(v,) for v in verbs()]:
            for line in gostat(*v, "--help").stdout.splitlines():
                self.assertLessEqual(len(line), 80, line)

    def test_version(self):
        r = gostat("--version")
        self.assertRegex(r.stdout, r"^gostat \d+\.\d+\.\d+\n.*libdw")

    def test_wrong_usage(self):
        for args, line in [
                ((), "command: none is given"),
                (("leakchek",), "leakchek: no such command; did you mean "
                 "leakcheck?"),
                (("l",), "l: no such command"),
                (("xyzzy",), "xyzzy: no such command"),
                (("--colour=always", "list"), "--colour=always: no such "
                 "option; did you mean --color?"),
                (("--color=red", "list"),
                 "color: 'red' is not auto, always or never"),
                (("list", "--jsom"),
                 "--jsom: no such option; did you mean --json?"),
                (("list", "-z"), "-z: no such option"),
                (("list", "--json=yes"), "--json=yes: takes no value"),
                (("list", "more"), "more: list has no operands"),
                (("stats",), "stats: which process?"),
                (("stats", "1", "2"), "stats: one process at a time"),
                (("stats", "-w"), "-w: needs a value"),
                (("stats", "-w", "0", "1"),
                 "watch: 0 is not a number from 1 to 86400"),
                (("stats", "-w", "1x", "1"),
                 "watch: 1x is not a number from 1 to 86400"),
                (("stats", "init"), "init: is no process id"),
                (("stats", "-1"), "-1: no such option"),
                (("stats", "0"), "0: is no process id"),
                (("stats", "99999999999999999999"),
                 "99999999999999999999: is no process id"),
                (("completion", "csh"),
                 "completion: the only shell known is bash")]:
            r = gostat(*args)
            self.assertEqual((r.returncode, r.stdout), (2, ""), args)
            self.assertEqual(r.stderr.splitlines()[0], "gostat: " + line)

    def test_full_disk(self):
        with open("/dev/full", "w") as f:
            r = subprocess.run([GOSTAT, "--help"], stdout=f, text=True,
                               stderr=subprocess.PIPE)
        self.assertEqual(r.returncode, 2)
        self.assertIn("No space left", r.stderr)

    def test_completion(self):
        script = gostat("completion", "bash").stdout

        def complete(*words):
            r = subprocess.run(
                ["bash", "--norc", "-c", script + """
                COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _gostat 2>/dev/null
                printf '%s\\n' "${COMPREPLY[@]}" """, "bash", *words],
                text=True, capture_output=True,
                env={**os.environ, "PATH": os.path.dirname(GOSTAT) + ":" +
                     os.environ["PATH"]})
            return r.stdout.split()
        self.assertEqual(complete("gostat", "leakc"), ["leakcheck"])
        self.assertEqual(set(verbs()) - set(complete("gostat", "")), set())
        self.assertEqual(complete("gostat", "heap", "--al"), ["--allocs"])
        self.assertEqual(complete("gostat", "--color=never", "sta"),
                         ["stats"])
        self.assertEqual(complete("gostat", "--ver"), ["--version"])

    def test_manual(self):
        with open(MAN) as f:
            man = f.read()
        parts = re.split(r"^\.Ss gostat (\w+)$", man, flags=re.M)
        pages = dict(zip(parts[1::2], parts[2::2]))
        self.assertEqual(list(pages), verbs())
        for v in verbs():
            for letter, name in options(v):
                if name in ("color", "help"):
                    continue
                self.assertRegex(pages[v], rf"(Fl|\|) -{name}\b")
                if letter:
                    self.assertRegex(pages[v], rf"Fl {letter}\b")

    def test_manual_is_clean(self):
        if not shutil.which("mandoc"):
            self.skipTest("no mandoc")
        for page in MAN, LIBRARY_MAN:
            r = subprocess.run(["mandoc", "-Tlint", "-Wwarning", page],
                               text=True, capture_output=True)
            self.assertEqual((r.returncode, r.stdout), (0, ""), page)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
