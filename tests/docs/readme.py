#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
readme: run the commands of README.md, as a reader would type them.

	readme.py LIBRARY

Each ```sh block is a script of its own and must succeed; build/libgostat.so is
the library given, and the folders that the text names must exist. scripts/run
is left out unless LIBRARY is the one that it builds.
"""

import os
import re
import subprocess
import sys

TOP = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.realpath(__file__))))


def blocks(text, lib):
    """The scripts of the text."""
    for script in re.findall(r"^```sh\n(.*?)^```$", text, re.M | re.S):
        if lib != f"{TOP}/build/libgostat.so":
            script = re.sub(r"^scripts/run.*\n", "", script, flags=re.M)
        yield script.replace("$PWD/build/libgostat.so", lib)


def main(lib):
    """Run everything; returns the exit status."""
    bad = 0
    with open(f"{TOP}/README.md", encoding="utf-8") as f:
        text = f.read()
    for link in re.findall(r"\]\(([^):#]+)\)", text):
        if not os.path.exists(f"{TOP}/{link}"):
            print(f"no such file: {link}")
            bad = 1
    env = {k: v for k, v in os.environ.items()
           if not k.startswith(("GOSTAT", "LD_"))}
    for script in blocks(text, lib):
        r = subprocess.run(["/bin/bash", "-e", "-c", script],
                           cwd=TOP, env=env, stdin=subprocess.DEVNULL,
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                           text=True, timeout=300)
        print(script, r.stdout, sep="\n")
        if r.returncode != 0 or "not understood" in r.stdout:
            print(f"FAILED with {r.returncode}")
            bad = 1
    return bad


if __name__ == "__main__":
    sys.exit(main(os.path.realpath(sys.argv[1])))
