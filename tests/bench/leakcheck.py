# SPDX-License-Identifier: MIT
"""What an exact leak check costs four programs, ours and others' ones.

Each allocation's stack is kept and the heap is searched at exit. Programs run
interleaved with plain glibc; a figure is the median over the rounds of the
ratio to the glibc run of the same round, as everywhere here.
"""
import ctypes.util
import os
import shutil
from dataclasses import dataclass, field

import allocators
import measure
import report
import rows

ROUNDS = 5
TIMEOUT = 900  # Valgrind

# At most this much of glibc's.
GOAL = 1.50

ROWS = (
    rows.Row("python", rows.PROGRAM, "JSON and dicts",
             ("python3", "{here}/workloads/documents.py", "{work}"),
             work=20000, package="python3",
             env={"PYTHONMALLOC": "malloc", "PYTHONHASHSEED": "0",
                  "PYTHONDONTWRITEBYTECODE": "1"}),
    rows.Row("cc1", rows.PROGRAM, "C compiler, -O2",
             ("cc1", "-quiet", "-O2", "-o", "-", "{data}"),
             data="source.c", data_scale=2, package="gcc"),
    rows.Row("sqlite", rows.PROGRAM, "million rows, index",
             ("sqlite3", "-batch", ":memory:",
              ".read {here}/workloads/million.sql"), package="sqlite3"),
    rows.Row("redis", rows.PROGRAM, "400k pipelined writes",
             ("redis-server",), data="fill.txt", server=True,
             package="redis-server"),
)


@dataclass(frozen=True)
class Tool(allocators.Allocator):
    """A leak checker: a preload with settings, or a command in front."""
    prefix: tuple = ()
    package: str = ""
    env: dict = field(default_factory=dict)


def recorded(library):
    """Ours, as users run it, but for the exit status."""
    return {"GOSTAT_LEAKCHECK": "exit", "GOSTAT_LEAKCHECK_EXITCODE": "0"}


def peers():
    """Those that can be had here; LeakSanitizer with its default stacks."""
    preload = "/usr/lib/heaptrack/libheaptrack_preload.so"
    if os.path.exists(preload):
        yield Tool("heaptrack", preload,
                   {"DUMP_HEAPTRACK_OUTPUT": os.devnull})
    lsan = ctypes.util.find_library("lsan")
    if lsan:
        yield Tool("lsan", lsan, {"LSAN_OPTIONS": "exitcode=0"})
    if shutil.which("valgrind"):
        yield Tool("valgrind", prefix=(
            shutil.which("valgrind"), "-q", "--leak-check=full",
            "--num-callers=64"))


def choose(wanted, library):
    """glibc, ours and what the comma-separated list names besides.

    A name is that of a peer or NAME=PATH+VAR=VALUE, another build of ours.
    """
    known = {p.name: p for p in peers()}
    chosen = [Tool(allocators.GLIBC)]
    if library:
        chosen.append(Tool(allocators.GOSTAT, library, recorded(library),
                           is_ours=True))
    for text in wanted.split(",") if wanted else ():
        if "=" in text:
            a = allocators.parse_pair(text)
            chosen.append(Tool(a.name, a.path, {**recorded(a.path), **a.env},
                               is_ours=True))
        elif text == "all":
            chosen += known.values()
        elif text in known:
            chosen.append(known[text])
        else:
            raise allocators.Unusable(
                f"{text}: not installed; known here: {', '.join(known)}")
    return chosen


def run(bench, row, tool):
    return measure.run(bench, row, tool, tool.prefix, TIMEOUT)


def over(results, what):
    """Rows in which the first of our builds costs more than GOAL."""
    ours = next(a.name for a in results.allocators if a.is_ours)
    ratios = [(r.name, results.ratio(r, ours, what)) for r in results.rows]
    return [name for name, ratio in ratios if ratio is None or ratio > GOAL]


def table(results, title, what, first):
    names = [a.name for a in results.allocators if a.name != allocators.GLIBC]
    lines = [[r.name, r.what, first(results, r),
              *(report.number(results.ratio(r, n, what)) for n in names)]
             for r in results.rows]
    return report.layout(title, ["row", "what", "glibc", *names], lines)


def cpu_of(results, row):
    cost = results.absolute(row, allocators.GLIBC, report.cost)
    return report.amount(row, cost)


def peak_of(results, row):
    peak = results.absolute(row, allocators.GLIBC, report.peak)
    return f"{report.number(peak and peak / 1024, 1)} MiB"


def print_leakcheck(bench, compare, chosen, only, rounds):
    selected = rows.available(rows.select(only, ROWS))
    results = compare(bench, chosen, selected, rounds or ROUNDS, run)
    print(table(results, "CPU time relative to plain glibc", report.cost,
                cpu_of))
    print(table(results, "Peak resident memory relative to plain glibc",
                report.peak, peak_of))
    for row, name, number, why in results.failures:
        print(f"failed: {row} under {name}, round {number}: {why}")
    if not any(a.is_ours for a in chosen):
        return 0
    for what, word in ((report.cost, "CPU"), (report.peak, "memory")):
        names = over(results, what)
        if names:
            print(f"more than {GOAL:.2f} x {word}: {', '.join(names)}")
    return 1 if results.failures else 0
