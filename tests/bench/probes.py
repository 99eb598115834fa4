# SPDX-License-Identifier: MIT
"""What is not a row: a start, what an idle process keeps, cycles."""
from statistics import mean

import measure
import report
import rows

TRUE = rows.Row("true", rows.PROGRAM, "start and end", ("true",))
BLOCK = 20        # starts in a row under one allocator
BURST_MIB = 512
IDLE_SECONDS = 10
STAGES = ("peak", "after", "idle", "again")
CYCLES = (("1 GiB", "1024 0 9"),
          ("1 GiB, 16 threads asleep", "1024 16 9 idle"),
          ("1 GiB, 16 threads at work", "1024 16 9"),
          ("64 MiB, 1000 threads asleep", "64 1000 9 idle"),
          ("1 GiB, 64 MiB of it written to", "1024 0 9 hot 64"))
FIGURES = ("pause_ms", "pause_max_ms", "ns_per_object", "hot_extra_ms",
           "cycle_extra_ms")


def block_of_starts(bench, allocator):
    """BLOCK starts of /bin/true as one Sample of their means."""
    runs = measure.Launch(bench, allocator.path, ["/bin/true"], allocator.env,
                          times=BLOCK).finish()
    return measure.Sample(
        cpu=mean(r.cpu for r in runs), user=mean(r.user for r in runs),
        sys=mean(r.sys for r in runs), wall=mean(r.wall for r in runs),
        peak_kib=round(mean(r.peak_kib for r in runs)), ns=0.0, check="")


def print_startup(bench, chosen, starts):
    results = report.Results([TRUE], chosen)
    blocks = max(1, starts // BLOCK)
    for number in range(blocks):
        for k in range(len(chosen)):
            a = chosen[(number + k) % len(chosen)]
            try:
                results.add(TRUE, a, block_of_starts(bench, a))
            except measure.Failed as why:
                results.fail(TRUE, a, number + 1, why)
    lines = []
    for a in chosen:
        line = [a.name, ""]
        for what, unit in ((report.cost, 1e6), (report.wall, 1e6),
                           (report.peak, 1)):
            value = results.absolute(TRUE, a.name, what)
            line += [report.number(value and value * unit, 0),
                     report.number(results.ratio(TRUE, a.name, what))]
        lines.append(line)
    print(report.layout(
        f"{blocks * BLOCK} starts of /bin/true each",
        ["allocator", "", "CPU us", "ratio", "wall us", "ratio", "peak KiB",
         "ratio"], lines))
    for _, name, number, why in results.failures:
        print(f"failed: {name}, block {number}: {why}")
    return bool(results.failures)


def resident_stages(out):
    """{stage: KiB} as the idle program prints them."""
    return {k: int(v) for k, v in (line.split() for line in out.splitlines())}


def print_idle(bench, chosen):
    """All at once: resident sizes do not depend on who else runs."""
    argv = [f"{bench.bin}/idle", str(BURST_MIB), str(IDLE_SECONDS)]
    running = [(a, measure.Launch(bench, a.path, argv, a.env)) for a in chosen]
    lines, failed = [], 0
    for a, launch in running:
        try:
            launch.finish()
            kib = resident_stages(launch.out.decode())
            lines.append([a.name, "", *(f"{kib[s] / 1024:.1f}"
                                        for s in STAGES)])
        except measure.Failed as why:
            failed += 1
            lines.append([a.name, str(why), *("-" for _ in STAGES)])
    print(report.layout(
        f"Resident MiB around a burst of {BURST_MIB} MiB of small blocks",
        ["allocator", "", "at the peak", "all freed",
         f"{IDLE_SECONDS} s idle", "1000 pairs on"], lines))
    return bool(failed)


def print_gc(bench, library):
    """Pauses and CPU time of cycles, one heap after the other."""
    lines, failed = [], 0
    for what, args in CYCLES:
        launch = measure.Launch(bench, library,
                                [f"{bench.bin}/pause", *args.split()], {})
        try:
            launch.finish()
            v = dict(x.split() for x in launch.out.decode().splitlines())
            lines.append([what, "", *(v.get(f, "-") for f in FIGURES)])
        except measure.Failed as why:
            failed += 1
            lines.append([what, str(why), *("-" for _ in FIGURES)])
    print(report.layout(
        "Cycles of the collector, CPU time of the program and the copy",
        ["heap", "", "pause ms", "longest", "ns/object", "writes, ms",
         "process, ms"], lines))
    return bool(failed)
