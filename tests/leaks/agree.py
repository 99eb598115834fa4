#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Programs of others: what the library calls leaked, Valgrind calls lost.

    agree.py LIBGOSTAT

Both run the same commands, and have to count the same objects and bytes, direct
(definitely lost) and indirect, in each process. Which these are changes from
one release of a program to the next; that two such different tools agree does
not. Left out are programs of which Valgrind calls much possibly lost: they hold
objects by their insides.
"""

import collections
import glob
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

COMMANDS = """
ls -laR /etc/ssl
sort /etc/passwd
awk -F: {a[$1]=$2}END{for(k in a)print(k)} /etc/passwd
find /etc -name *.conf
tar cf /dev/null /etc/ssl
xz -kc /etc/services
bash -c for(i=1;i<3;i++){x=$(echo@$i);echo@$x;}
dash -c echo@hi|cat
diff /etc/passwd /etc/group
gcc -c -x c /dev/null -o /dev/null
"""
SKIP = 77


def run(command, env):
    subprocess.run(command, env=dict(os.environ, **env), timeout=250,
                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL, check=False)


def by_us(command, lib, folder):
    run(command, {"LD_PRELOAD": lib, "GOSTAT_LEAKCHECK": "exit",
                  "GOSTAT_LEAKCHECK_EXITCODE": "0",
                  "GOSTAT_LEAKCHECK_OUT": f"{folder}/us-%p-%e-%t-%n"})
    verdicts = []
    for path in glob.glob(f"{folder}/us-*"):
        with open(path, encoding="utf-8") as f:
            report = json.load(f)
        sums = collections.Counter()
        for leak in report["leaks"]:
            sums[leak["kind"], 0] += leak["objects"]
            sums[leak["kind"], 1] += leak["bytes"]
        verdicts.append((report["status"] != "unchecked",) + tuple(
            sums[kind, i] for kind in ("direct", "indirect") for i in (0, 1)))
    return verdicts


def by_valgrind(command, folder):
    run(["valgrind", "--leak-check=full", "--show-leak-kinds=none",
         "--trace-children=yes", f"--log-file={folder}/vg-%p"] + command, {})
    verdicts = []
    for path in glob.glob(f"{folder}/vg-*"):
        with open(path, encoding="utf-8", errors="replace") as f:
            text = f.read()
        lost = {kind: (int(blocks.replace(",", "")), int(n.replace(",", "")))
                for kind, n, blocks in
                re.findall(r"(\w+) lost: ([\d,]+) bytes in ([\d,]+)", text)}
        verdicts.append((True,) + lost.get("definitely", (0, 0)) +
                        lost.get("indirectly", (0, 0)))
    return verdicts


def leaky(verdicts):
    """Processes that lose something, and those that were not checked."""
    return sorted(v for v in verdicts if v != (True, 0, 0, 0, 0))


def main():
    wrong = seen = 0
    if not shutil.which("valgrind"):
        return SKIP
    for line in COMMANDS.strip().splitlines():
        command = [w.replace("@", " ") for w in line.split()]
        if not shutil.which(command[0]):
            continue
        with tempfile.TemporaryDirectory() as folder:
            ours = by_us(command, sys.argv[1], folder)
            theirs = by_valgrind(command, folder)
        seen += len(leaky(theirs))
        if not ours or leaky(ours) != leaky(theirs):
            wrong += 1
            print(f"{line}: {leaky(ours)}, Valgrind: {leaky(theirs)}")
    print(f"{wrong} wrong, {seen} leaky processes")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
