#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Print runtime/alloc/sizeclasses.h.

The sizes are Go's (runtime/mksizeclasses.go): classes are added at the
smallest step that keeps a slot aligned and the waste below 12.5 %; two
neighbours that give the same number of objects in the same span are merged
into the larger. Class 3 (24 bytes) keeps its number, so that BySize rows match,
but is never used: its slots are not 16-byte aligned.

Span sizes are our own: a span holds 64 objects or 128 KiB, whichever is less,
so that one visit to the page heap is shared by many objects. Bigger spans
would be harder to empty again. While a class is small its spans are shorter,
down to Go's own length: 68 classes of which a program uses a little each would
hold megabytes otherwise.
"""
PAGE = 8192
MAX_SMALL = 32768
MIN_OBJECTS = 64
MAX_SPAN = 128 * 1024


def go_span(size):
    """Go's span: the fewest pages that waste at most 1/8 at the end."""
    n = PAGE
    while n % size > n // 8:
        n += PAGE
    return n


def go_sizes():
    sizes = [0]
    align = 8
    size = align
    while size <= MAX_SMALL:
        if size & (size - 1) == 0:
            if size >= 2048:
                align = 256
            elif size >= 128:
                align = size // 8
            elif size >= 32:
                align = 16
        span = go_span(size)
        prev = sizes[-1]
        if prev and span == go_span(prev) and span // size == span // prev:
            sizes[-1] = size
        else:
            sizes.append(size)
        size += align
    # Widen each class to what its span holds anyway, in steps of 128.
    for i in range(1, len(sizes)):
        span = go_span(sizes[i])
        wide = span // (span // sizes[i]) // 128 * 128
        sizes[i] = max(sizes[i], wide)
    return sizes


def our_pages(size):
    """The least tail waste among spans of about the wanted size."""
    want = min(MIN_OBJECTS * size, MAX_SPAN)
    lo = max(1, -(-want // PAGE))
    best = None
    for n in range(lo, 2 * lo + 1):
        tail = (n * PAGE) % size / (n * PAGE)
        if best is None or tail < best[0] - 0.004:
            best = (tail, n)
        if tail < 0.005:
            break
    return best[1]


def magic(size):
    return 0xFFFFFFFF // size + 1


def rows():
    sizes = go_sizes()
    assert len(sizes) == 68 and sizes[-1] == MAX_SMALL, (len(sizes), sizes)
    out = [(0, 0, 0, 0, 0, 1)]
    for s in sizes[1:]:
        n = our_pages(s)
        for k in range(n * PAGE // s):
            for off in (k * s, k * s + s - 1):
                assert (off * magic(s)) >> 32 == k, (s, off)
        out.append((s, n, go_span(s) // PAGE, n * PAGE // s, magic(s),
                    min(s & -s, PAGE)))
    return out


def lookup(table, step, count):
    found = [next(c for c in range(1, 68)
                  if c != 3 and table[c][0] >= max(step * i, 1))
             for i in range(count)]
    if step == 128:
        found[0] = 0  # SIZE_MAX plus one byte of slack: to the slow path
    return found


HEAD = """/* SPDX-License-Identifier: MIT */
/* Printed by scripts/mksizeclasses.py; do not edit. */
#ifndef GOSTAT_ALLOC_SIZECLASSES_H
#define GOSTAT_ALLOC_SIZECLASSES_H

#include "base/attrs.h"

#include <stdint.h>

/*
 * class  bytes   span  least  objects   tail  waste%   align"""

TYPES = """ *
 * least: what a class begins with; its spans grow as it does. waste: the worst
 * case in a whole span, every object one byte larger than the class below, tail
 * included. Class 3 is never used.
 */
enum {
	NSIZECLASS = 68,   /* class 0: no small object */
	MAX_SMALL = 32768, /* bytes of the largest small object */
	MAX_SLOTS = 1024,  /* in one span */
};

struct sizeclass {
	uint32_t size;	 /* bytes of a slot */
	uint32_t npages; /* of the longest span */
	uint32_t least;	 /* pages of the shortest one */
	uint32_t nelems; /* slots in the longest */
	uint32_t magic;	 /* (offset * magic) >> 32 == offset / size */
	uint32_t align;	 /* natural alignment of every slot */
};

/* Class of a request, indexed by (size + 7) / 8, to 1024. */
extern HIDDEN const uint8_t class_by_8[129];

/* Class of a request, indexed by (size + 127) / 128, to 32768. */
extern HIDDEN const uint8_t class_by_128[257];

extern HIDDEN const struct sizeclass sizeclasses[NSIZECLASS];

/* One file has the tables; in each that uses them they took 32 KiB. */
#ifdef SIZECLASSES_HERE
const struct sizeclass sizeclasses[NSIZECLASS] = {"""


def main():
    t = rows()
    print(HEAD)
    for c in range(1, 68):
        s, n, least, k, _, a = t[c]
        below = t[c - 1][0] if c != 4 else t[2][0]
        tail = n * PAGE - k * s
        waste = (k * (s - below - 1) + tail) / (n * PAGE) * 100
        print(f" * {c:5} {s:6} {n*PAGE:6} {least*PAGE:6} {k:8} {tail:6} "
              f"{waste:7.2f} {a:7}")
    print(TYPES)
    for r in t:
        print("\t{%d, %d, %d, %d, 0x%xu, %d}," % r)
    print("};\n")
    for name, step, count in (("class_by_8", 8, 129),
                              ("class_by_128", 128, 257)):
        table = lookup(t, step, count)
        print(f"const uint8_t {name}[{count}] = {{")
        for i in range(0, count, 16):
            print("\t" + " ".join(f"{x}," for x in table[i:i + 16]))
        print("};\n")
    print("#endif\n")
    print("/*\n * Classes whose slots are aligned, indexed by the logarithm of the"
          " alignment: bit\n * c - 4 is class c; those below 4 are none of"
          " these, from 32 up.\n */")
    print("static const uint64_t class_aligned[14] = {")
    for k in range(14):
        bits = sum(1 << c - 4 for c in range(4, 68) if t[c][5] >= 1 << k)
        print(f"\t0x{bits:016x},")
    print("};\n")
    print("#endif")


main()
