# SPDX-License-Identifier: MIT
"""check_stacks.py REPORT WORDS: see stacks.cc.

Every leak that was allocated in point() must have a stack that libgcc saw, and
not more often. Frame 0, the call of malloc itself, is not compared; nor is
where libgcc stops short.
"""
import array
import collections
import json
import sys


def recorded(path):
    words = array.array("Q")
    with open(path, "rb") as f:
        words.frombytes(f.read())
    at = 0
    while at < len(words):
        n = words[at]
        yield tuple(words[at + 2:at + 1 + n])
        at += 1 + n


def main():
    seen = collections.Counter(recorded(sys.argv[2]))
    with open(sys.argv[1], encoding="utf-8") as f:
        report = json.load(f)
    found = frames = 0
    for leak in report["leaks"]:
        names = [f.get("function") or "" for f in leak["stack"]]
        if not any("point" in name for name in names[:1]):
            continue
        stack = tuple(f["address"] for f in leak["stack"]
                      if not f.get("inlined"))[1:]
        frames = max(frames, len(stack))
        if seen[stack] < leak["objects"]:
            near = max(seen, key=lambda s: sum(
                a == b for a, b in zip(s, stack)))
            sys.exit(f"{leak['objects']} x {[hex(a) for a in stack]}\n"
                     f"{names}\nseen {seen[stack]} times; nearest "
                     f"{[hex(a) for a in near]}")
        found += leak["objects"]
    total = sum(seen.values())
    print(f"{found} of {total} points, {len(seen)} stacks of up to "
          f"{frames} frames")
    # A copy of an address may be left somewhere, here and there.
    if found < 0.9 * total:
        sys.exit("too few leaks")


main()
