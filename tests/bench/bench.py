# SPDX-License-Identifier: MIT
"""Compare libgostat.so with other allocators: see docs/benchmarks.md."""
import argparse
import dataclasses
import os
import sys
import time

import allocators
import hitpath
import leakcheck
import marking
import measure
import probes
import report
import rows
import serve

QUICK_ROUNDS, QUICK_SCALE, QUICK_MS = 3, 0.2, 40
FULL_ROUNDS, FULL_SCALE, FULL_MS = 5, 1.0, 200
WARM_SCALE = 0.02


def parse_args():
    p = argparse.ArgumentParser(
        prog="scripts/bench",
        description="Compare libgostat.so with the allocators installed on "
        "this machine. Without an option: all rows, about ten minutes.")
    p.add_argument("--rounds", type=int, metavar="N",
                   help=f"rounds of all rows under all allocators "
                        f"(default {FULL_ROUNDS}, quick {QUICK_ROUNDS})")
    p.add_argument("--quick", action="store_true",
                   help="small amounts of work, under two minutes")
    p.add_argument("--only", metavar="PATTERN",
                   help="rows or groups (micro, single, threads, program), "
                        "comma separated, with * and ?")
    p.add_argument("--allocators", metavar="LIST",
                   help="names as in --list, and NAME=PATH[+VAR=VALUE] for "
                        "any other library or setting, comma separated")
    p.add_argument("--csv", metavar="FILE", help="write every run to FILE "
                   "(default: bench.csv in the build folder)")
    p.add_argument("--list", action="store_true",
                   help="print allocators and rows")
    p.add_argument("--instructions", action="store_true",
                   help="instructions per malloc and free (needs valgrind)")
    p.add_argument("--disassembly", action="store_true",
                   help="hit paths of malloc and free in libgostat.so")
    p.add_argument("--startup", action="store_true",
                   help="cost of 200 starts of /bin/true")
    p.add_argument("--idle", action="store_true",
                   help="memory kept after a burst of 512 MiB")
    p.add_argument("--gc", action="store_true",
                   help="pauses and cost of cycles, speed of marking")
    p.add_argument("--serve", action="store_true",
                   help="latency and cost of being scraped over the socket")
    p.add_argument("--leakcheck", nargs="?", const="", metavar="PEERS",
                   help="what GOSTAT_LEAKCHECK=exit costs; PEERS: heaptrack, "
                        "lsan, valgrind, all, NAME=PATH, comma separated")
    p.add_argument("--build-dir", default="build", metavar="DIR",
                   help="where libgostat.so and the programs are built "
                        "(default: build)")
    args = p.parse_args()
    if args.rounds is not None and args.rounds < 1:
        p.error("--rounds: at least 1")
    return args


def print_list(chosen, selected):
    print("allocators:")
    for a in chosen:
        settings = "".join(f" {k}={v}" for k, v in a.env.items())
        print(f"  {a.name:10} {a.path or 'no preload'}{settings}")
    print("rows:")
    for row in selected:
        gone = row not in rows.available([row])
        note = f"  (needs package {row.package})" if gone else ""
        print(f"  {row.name:16} {row.group:8} {row.what}{note}")


def progress(text):
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\033[K{text}")
        sys.stderr.flush()


def compare(bench, chosen, selected, rounds, run=None):
    """Rounds of all rows; in each row the allocators take turns to go first."""
    run = run or measure.run
    results = report.Results(selected, chosen)
    for number in range(rounds):
        for i, row in enumerate(selected):
            for k in range(len(chosen)):
                a = chosen[(number + i + k) % len(chosen)]
                progress(f"round {number + 1}/{rounds} {row.name} {a.name}")
                try:
                    results.add(row, a, run(bench, row, a))
                except measure.Failed as why:
                    results.fail(row, a, number + 1, why)
    progress("")
    return results


def warm_up(bench, selected):
    """Make the input files; bring programs and their files into memory."""
    little = dataclasses.replace(bench, scale=WARM_SCALE, ms=1)
    glibc = allocators.Allocator(allocators.GLIBC)
    for row in selected:
        progress(f"warming up {row.name}")
        if row.data:
            bench.data_file(row)
        try:
            measure.run(little, row, glibc)
        except measure.Failed as why:
            sys.exit(f"bench: {row.name} does not even run without a preload: "
                     f"{why}")


def run_rows(args, bench, chosen, selected):
    rounds = args.rounds or (QUICK_ROUNDS if args.quick else FULL_ROUNDS)
    file = args.csv or os.path.join(args.build_dir, "bench.csv")
    with open(file, "a", encoding="ascii"):
        pass  # not to learn in ten minutes that it can't be written
    start = time.monotonic()
    warm_up(bench, selected)
    results = compare(bench, chosen, selected, rounds)
    print(report.text(results))
    report.write_csv(results, file)
    print(f"{rounds} rounds, {len(selected)} rows, {len(chosen)} allocators, "
          f"{time.monotonic() - start:.0f} s; every run is in {file}")
    ours = {a.name for a in chosen if a.is_ours}
    wrong = results.failures + [(r, n, 0, "") for r, n in results.changed()]
    return any(name in ours for _, name, _, _ in wrong)


def bench_of(args):
    return measure.Bench(
        bin=os.path.abspath(os.path.join(args.build_dir, "tests/bench")),
        cache=os.path.abspath(os.path.join(args.build_dir, "bench-data")),
        scale=QUICK_SCALE if args.quick else FULL_SCALE,
        ms=QUICK_MS if args.quick else FULL_MS)


def main():
    args = parse_args()
    library = os.path.abspath(os.path.join(args.build_dir, "libgostat.so"))
    library = library if os.path.exists(library) else None
    try:
        chosen, missing = allocators.choose(args.allocators, library)
        if args.leakcheck is not None:
            chosen, missing = leakcheck.choose(args.leakcheck, library), []
    except allocators.Unusable as why:
        sys.exit(f"bench: {why}")
    if args.leakcheck is not None:
        return leakcheck.print_leakcheck(
            bench_of(args), compare, chosen, args.only, args.rounds)
    if args.gc:
        if not library:
            sys.exit(f"bench: no libgostat.so in {args.build_dir}")
        bench = bench_of(args)
        failed = probes.print_gc(bench, library)
        return marking.print_marking(bench, args.quick) or failed
    if args.serve:
        return serve.print_serve(bench_of(args), library, args.quick)
    everything = rows.select(args.only)
    if not everything:
        sys.exit(f"bench: no row matches {args.only}; see --list")
    if not library:
        print(f"bench: no libgostat.so in {args.build_dir}: peers only",
              file=sys.stderr)
    packages = missing + rows.missing_packages(everything)
    if packages and not args.disassembly:
        print("bench: left out for lack of packages; to have them: apt-get "
              f"install {' '.join(packages)}", file=sys.stderr)
    selected = rows.available(everything)
    bench = bench_of(args)

    if args.list:
        print_list(chosen, everything)
    elif args.instructions:
        return hitpath.print_instructions(bench, chosen, args.only)
    elif args.disassembly:
        return hitpath.print_disassembly(chosen)
    elif args.startup:
        return probes.print_startup(bench, chosen, 40 if args.quick else 200)
    elif args.idle:
        return probes.print_idle(bench, chosen)
    else:
        return run_rows(args, bench, chosen, selected)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
    except OSError as why:
        sys.exit(f"bench: {why}")
