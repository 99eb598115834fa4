#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
check-orders: memory orders are explained, and their halves meet.

Every acquire or release (an operation of base/atomics.h, or a builtin with its
order spelled out) has a comment with its [tag] on its line or just above it,
in the same statement's reach; a tag stands at an acquire and at a release
somewhere in the tree, unless its comment says that the kernel is the other
side. A seq_cst operation has a sentence: a comment that says
seq_cst, or names an invariant (I2), in the function or above it.

	scripts/check-orders.py [FILE...]	(default: runtime, preload, tools)

Silent but for a count; one line for each offence, and exit status 1.
"""

import pathlib
import re
import sys

TOP = pathlib.Path(__file__).resolve().parent.parent
REACH = 7  # lines above an operation where its tag may stand

OPERATION = re.compile(
    r"\b(?:load|store|add|sub|or|and|xchg|cas|cas_weak|fence)_"
    r"(acquire|release|acq_rel|seq_cst)\s*\("
    r"|__ATOMIC_(ACQUIRE|RELEASE|ACQ_REL|SEQ_CST)\b")
TAG = re.compile(r"\b(acquire|release|acq_rel)\b[^[\]]{0,40}\[([\w -]+)\](?=([^[\]]*))")
SENTENCE = re.compile(r"seq_cst|\bI\d+\b")
HALVES = {"acquire": {"acquire"}, "release": {"release"},
          "acq_rel": {"acquire", "release"}}


def split(text):
    """Lines of code alone and of comments alone, of the same numbers."""
    code, comments = [], []
    for m in re.finditer(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|.', text,
                         re.S):
        s = m[0]
        blank = re.sub(r"[^\n]", " ", s)
        is_comment = s.startswith(("/*", "//"))
        code.append(blank if is_comment or s.startswith('"') else s)
        comments.append(s if is_comment else blank)
    return "".join(code).split("\n"), "".join(comments).split("\n")


def reach(code, at, whole=False):
    """First line where a comment counts for the operation in line `at`."""
    first = at
    while first > 0 and (whole or at - first < REACH):
        if code[first - 1].startswith("}"):
            break  # the end of the function before
        first -= 1
    return first


def check(path, where):
    """Offences in one file; adds its tags to `where`."""
    code, comments = split(path.read_text(encoding="utf-8"))
    for i, line in enumerate(code):
        orders = {(a or b).lower() for a, b in OPERATION.findall(line)}
        if not orders:
            continue
        if "seq_cst" in orders:
            near = " ".join(comments[reach(code, i, whole=True):i + 1])
            if not SENTENCE.search(near):
                yield i + 1, "seq_cst without a sentence"
            orders.discard("seq_cst")
        near = " ".join(comments[reach(code, i):i + 1])
        tags = TAG.findall(near)
        for order in orders:
            mine = [(t, why) for o, t, why in tags
                    if HALVES[order] <= HALVES[o]]
            if not mine:
                yield i + 1, f"{order} without a [tag] of its own"
                continue
            tag, why = mine[-1]
            halves = HALVES[order]
            if "the kernel" in why:
                halves = HALVES["acq_rel"]
            for half in halves:
                where.setdefault(tag, {}).setdefault(half, (path, i + 1))


def main(names):
    """Check the files; returns the exit status."""
    files = [pathlib.Path(n).resolve() for n in names] or sorted(
        p for d in ("runtime", "preload", "tools")
        for p in (TOP / d).rglob("*.[ch]"))
    where, bad = {}, 0
    for path in files:
        if path.match("base/atomics.h"):
            continue  # it defines them
        for line, what in check(path, where):
            print(f"{path.relative_to(TOP)}:{line}: {what}")
            bad += 1
    for tag, halves in sorted(where.items()):
        for half in sorted({"acquire", "release"} - halves.keys()):
            path, line = next(iter(halves.values()))
            print(f"{path.relative_to(TOP)}:{line}: [{tag}] has no {half}")
            bad += 1
    if not bad:
        print(f"check-orders: {len(where)} tags, each with both its sides")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
