#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The symbolizer against addr2line, which is another reader of DWARF.

test_symbolize.py SYMBOLIZE SOURCE; in a current folder of its own. Exit status
77: there is no compiler or no binutils.
"""
import os
import random
import re
import shutil
import subprocess
import sys
import unittest

SYMBOLIZE, SOURCE = (os.path.abspath(p) for p in sys.argv[1:3])


def out(*args):
    return subprocess.run(args, check=True, stdout=subprocess.PIPE,
                          text=True).stdout


def build(name, *flags, cxx="g++"):
    subprocess.run([cxx, "-g", *flags, SOURCE, "-o", name], check=True)
    return name


def build_id(path):
    m = re.search(r"Build ID: ([0-9a-f]+)", out("readelf", "-n", path))
    return m.group(1)


def instructions(path, n):
    """Addresses of instructions of functions that the source defines."""
    wanted = re.compile(r"<(_Z.*(4shop|St6vector|St3map).*|main|c_name)>:$")
    found, inside = [], False
    for line in out("objdump", "-d", "--no-show-raw-insn",
                    path).splitlines():
        if line.endswith(">:"):
            inside = bool(wanted.search(line))
        elif inside and (m := re.match(r"\s+([0-9a-f]+):", line)):
            found.append(int(m.group(1), 16))
    random.Random(1).shuffle(found)
    return found[:n]


def parse(text):
    """address -> [(function, file, line)]"""
    frames = {}
    lines = iter(text.splitlines())
    for line in lines:
        if line.startswith("0x"):
            now = frames.setdefault(int(line, 16), [])
            continue
        file, number = next(lines).rsplit(":", 1)
        number = re.match(r"\d*", number).group()
        now.append((line, os.path.normpath(file), int(number or 0)))
    return frames


def ours(path, addresses, ident="-"):
    return parse(out(SYMBOLIZE, os.path.abspath(path), ident,
                     *map(hex, addresses)))


def theirs(path, addresses):
    return parse(out("addr2line", "-i", "-f", "-C", "-a", "-e", path,
                     *map(hex, addresses)))


class Against(unittest.TestCase):
    maxDiff = None

    def agree(self, path, reference=None):
        addresses = instructions(reference or path, 600)
        self.assertGreater(len(addresses), 200)
        a = ours(path, addresses, build_id(reference or path))
        b = theirs(reference or path, addresses)
        inlined = compared = 0
        for at in addresses:
            if b[at][0][1] == "??":  # padding
                continue
            compared += 1
            # In cut-off pieces, and where the innermost function has no
            # linkage name, addr2line puts the name of the symbol.
            name = b[at][0][0]
            if "[clone" in name or name == b[at][-1][0]:
                a[at][0] = (b[at][0][0], *a[at][0][1:])
            self.assertEqual(a[at], b[at], f"{path} at {at:#x}")
            inlined += len(a[at]) > 1
        self.assertGreater(inlined, 50)
        self.assertGreater(compared, 200)

    def test_optimized(self):
        self.agree(build("o2", "-O2"))

    def test_unrelocatable(self):
        self.agree(build("nopie", "-O2", "-no-pie", "-fno-pie"))

    def test_dwarf4(self):
        self.agree(build("dwarf4", "-O2", "-gdwarf-4"))

    def test_compressed(self):
        self.agree(build("compressed", "-O2", "-gz"))

    def test_without_table_of_units(self):
        path = build("noaranges", "-O2")
        out("objcopy", "--remove-section", ".debug_aranges", path, "bare")
        self.agree("bare", path)

    def test_clang(self):
        """addr2line misses calls whose code clang has split in ranges."""
        if not shutil.which("clang++") or not shutil.which("llvm-symbolizer"):
            self.skipTest("no clang++ or no llvm-symbolizer")
        path = build("clang", "-O2", cxx="clang++")
        addresses = instructions(path, 600)
        a = ours(path, addresses)
        b = parse(out("llvm-symbolizer", "--output-style=GNU", "-a", "-i",
                      "-e", path, *map(hex, addresses)))
        self.assertGreater(sum(len(f) > 1 for f in b.values()), 50)
        for at in addresses:
            if b[at][0][1] != "??":
                self.assertEqual([f[1:] for f in a[at]],
                                 [f[1:] for f in b[at]], hex(at))

    def test_separate_file(self):
        build("whole", "-O2")
        out("objcopy", "--only-keep-debug", "whole", "lean.debug")
        out("objcopy", "--strip-all", "--add-gnu-debuglink=lean.debug",
            "whole", "lean")
        self.agree("lean", "whole")

    def test_symbol_table(self):
        path = build("o1", "-O1")
        out("objcopy", "--strip-debug", path, "nodebug")
        at = {int(line.split()[0], 16) + 1 for line in
              out("nm", path).splitlines()
              if re.search(r" [TtW] (main|c_name|_ZN4shop.*)$", line)}
        self.assertGreater(len(at), 2)
        a, b = ours("nodebug", at), theirs("nodebug", at)
        for x in at:
            self.assertEqual([f[0] for f in a[x]], [b[x][0][0]])
            self.assertEqual(a[x][0][1:], ("??", 0))

    def test_dynamic_symbols(self):
        path = build("lib.so", "-O1", "-shared", "-fPIC")
        out("strip", path)
        sym = re.search(r"([0-9a-f]+) T c_name", out("nm", "-D", path))
        at = int(sym.group(1), 16)
        self.assertEqual(ours(path, [at])[at], [("c_name", "??", 0)])

    def test_offset_in_file(self):
        path = build("offsets", "-O2")
        text = re.search(r" \.text +PROGBITS +(\w+) +(\w+)",
                         out("readelf", "-SW", path))
        at, offset = (int(x, 16) for x in text.groups())
        got = parse(out(SYMBOLIZE, os.path.abspath(path), "-",
                        f"OFFSET:{offset:x}"))
        self.assertEqual(list(got), [at])

    def test_other_build_id(self):
        path = build("other", "-O2")
        r = subprocess.run([SYMBOLIZE, os.path.abspath(path), "ab" * 20, "0x1139"],
                           capture_output=True, text=True, check=True)
        self.assertIn("another build id", r.stderr)
        self.assertTrue(r.stdout.endswith("??\n??:0\n"))

    def test_no_module(self):
        for path in "/nowhere/x", "[vdso]", "", SOURCE, "/":
            r = subprocess.run([SYMBOLIZE, path, "-", "10"], text=True,
                               capture_output=True, check=True)
            self.assertTrue(r.stderr)
            self.assertTrue(r.stdout.endswith("??\n??:0\n"))

    def test_outside_of_code(self):
        path = build("outside", "-O2")
        at = [0, 1, 0x7fffffffffff, 0xffffffffffffffff]
        for frames in ours(path, at).values():
            self.assertEqual(frames, [("??", "??", 0)])


if __name__ == "__main__":
    if not all(map(shutil.which, ("g++", "addr2line", "objdump"))):
        sys.exit(77)
    unittest.main(argv=sys.argv[:1])
