# SPDX-License-Identifier: MIT
"""How fast the marker is, beside libgc and beside what memory can do.

The programs bench_mark and bench_mark_gc build the same graphs, from the same
seed, one in our heap and one in libgc's, and time marking alone: one thread,
the best of a few, all in huge pages.
"""
import os

import measure
import report

GRAPHS = (("random", "16-512 B, pointers anywhere"),
          ("mix", "60 % graph, 40 % arrays"),
          ("tree", "binary, 32 B"),
          ("scalar", "64 KiB arrays, no pointers"))
MIB, QUICK_MIB = 1024, 128
OURS, LIBGC = ("mark", "5"), ("mark_gc", "2")
NEEDS = "libgc-dev"


def figures(bench, program, shape, mib):
    """{name: number} as the program prints them; {} if it is not built."""
    name, times = program
    path = f"{bench.bin}/bench_{name}"
    if not os.path.exists(path):
        return {}
    launch = measure.Launch(bench, None,
                            [path, shape, str(mib), "best", "1", times], {})
    launch.finish()
    return {k: float(v) for k, v in
            (line.split() for line in launch.out.decode().splitlines())}


def line(shape, what, ours, libgc):
    mine, its = ours.get("ns_per_op"), libgc.get("ns_per_op")
    speed, read = ours.get("gb_per_s"), ours.get("read_gb_per_s")
    return [shape, what, report.number(mine, 1), report.number(its, 1),
            report.number(its and mine and its / mine, 1),
            report.number(speed, 1), report.number(read, 1),
            report.number(read and speed and speed / read)]


def print_marking(bench, quick):
    mib = QUICK_MIB if quick else MIB
    lines, failed, without = [], 0, False
    for shape, what in GRAPHS:
        try:
            ours = figures(bench, OURS, shape, mib)
            libgc = figures(bench, LIBGC, shape, mib)
            lines.append(line(shape, what, ours, libgc))
            without |= not libgc
        except measure.Failed as why:
            failed += 1
            lines.append([shape, str(why), *"------"])
    print(report.layout(
        f"Marking {mib} MiB, CPU time of one thread",
        ["graph", "", "ns/object", "libgc's", "to ours", "GB/s",
         "plain read", "to that"], lines))
    if without:
        print(f"libgc is not here (package {NEEDS}, then build anew)")
    return bool(failed)
