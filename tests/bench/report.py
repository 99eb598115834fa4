# SPDX-License-Identifier: MIT
"""From samples to tables.

All comparisons are ratios to the glibc run of the same round and the same
row; a figure in a table is the median of these ratios over the rounds. A
median of ratios, not a ratio of medians: what disturbs the machine for a
while disturbs both sides of one round.
"""
import csv
from math import exp, log
from statistics import median

from allocators import GLIBC
from rows import GROUPS, MICRO, SINGLE, THREADS

NEAR = 1.03  # differences below 3 % are noise


def geomean(values):
    return exp(sum(log(v) for v in values) / len(values)) if values else None


class Results:
    """Samples by (row name, allocator name): one per round, None if failed."""

    def __init__(self, rows, allocators):
        self.rows = rows
        self.allocators = allocators
        self.samples = {}
        self.failures = []   # (row, allocator, round, why)

    def add(self, row, allocator, sample):
        self.samples.setdefault((row.name, allocator.name), []).append(sample)

    def fail(self, row, allocator, number, why):
        self.add(row, allocator, None)
        self.failures.append((row.name, allocator.name, number, why))

    def of(self, row, name):
        return self.samples.get((row.name, name), [])

    def absolute(self, row, name, what):
        """Median over the rounds of what(sample), or None."""
        values = [what(s) for s in self.of(row, name) if s]
        return median(values) if values else None

    def ratio(self, row, name, what):
        """Median over the rounds of the ratio to glibc, or None.

        One failed round makes the whole row None: an allocator that crashes
        now and then has no speed.
        """
        mine, base = self.of(row, name), self.of(row, GLIBC)
        if not mine or len(mine) != len(base) or None in mine + base:
            return None
        return median(what(m) / what(b) for m, b in zip(mine, base))

    def best_peer(self, row, what):
        """(name, ratio) of the best allocator that is not a build of ours."""
        peers = [(self.ratio(row, a.name, what), a.name)
                 for a in self.allocators if not a.is_ours]
        peers = [p for p in peers if p[0] is not None]
        if not peers:
            return None, None
        ratio, name = min(peers)
        return name, ratio

    def spread(self, row):
        """(max - min) / median of glibc's own cost over the rounds."""
        costs = [s.cost for s in self.of(row, GLIBC) if s]
        return (max(costs) - min(costs)) / median(costs) if costs else 0.0

    def changed(self):
        """(row, allocator) where the output differs from glibc's."""
        found = set()
        for (row, name), samples in self.samples.items():
            base = self.samples.get((row, GLIBC), [])
            for mine, its in zip(samples, base):
                if mine and its and mine.check != its.check:
                    found.add((row, name))
        return sorted(found)


def cost(sample):
    return sample.cost


def wall(sample):
    return sample.wall


def peak(sample):
    return sample.peak_kib


def number(value, digits=2):
    return "-" if value is None else f"{value:.{digits}f}"


def amount(row, value):
    """An absolute cost with its unit."""
    if value is None:
        return "-"
    return f"{value:.1f} ns" if row.group == MICRO else f"{value:.3f} s"


def layout(title, head, lines):
    """Columns as wide as their longest cell; the first two left-aligned."""
    cells = [head, *lines]
    width = [max(len(line[i]) for line in cells if line)
             for i in range(len(head))]
    out = [title, ""]
    for line in cells:
        if not line:
            out.append("")
            continue
        out.append("  ".join(
            c.ljust(w) if i < 2 else c.rjust(w)
            for i, (c, w) in enumerate(zip(line, width))).rstrip())
    return "\n".join(out) + "\n"


def our_ratio(results, row, what):
    """Our cost over the best peer's, or None; ours is the first of ours."""
    ours = next((a.name for a in results.allocators if a.is_ours), None)
    mine = ours and results.ratio(row, ours, what)
    best = results.best_peer(row, what)[1]
    return mine / best if mine and best else None


def ratio_line(results, row, what, first):
    others = [a.name for a in results.allocators if a.name != GLIBC]
    return [row.name, row.what, first,
            *(number(results.ratio(row, name, what)) for name in others),
            results.best_peer(row, what)[0] or "-",
            number(our_ratio(results, row, what))]


def mean_line(results, label, rows, what):
    """Geometric means over the rows where every allocator has a figure."""
    others = [a.name for a in results.allocators if a.name != GLIBC]
    whole = [r for r in rows
             if all(results.ratio(r, name, what) for name in others)]
    if len(whole) < 2:
        return None
    ours = [our_ratio(results, r, what) for r in whole]
    return [label, f"geometric mean of {len(whole)} rows", "1.00",
            *(number(geomean([results.ratio(r, n, what) for r in whole]))
              for n in others),
            number(geomean([results.best_peer(r, what)[1] for r in whole])),
            number(geomean(ours) if all(ours) else None)]


def ratio_table(results, title, rows, what, first):
    """One line a row, then the means by group and over all."""
    head = ["row", "what", GLIBC,
            *(a.name for a in results.allocators if a.name != GLIBC),
            "best peer", "to best"]
    lines, means = [], []
    for group in GROUPS:
        members = [r for r in rows if r.group == group]
        if not members:
            continue
        lines += [ratio_line(results, r, what, first(r)) for r in members]
        lines.append(None)
        means.append(mean_line(results, group, members, what))
    if sum(m is not None for m in means) > 1:
        means.append(mean_line(results, "all", rows, what))
    means = [m for m in means if m]
    return layout(title, head, lines + means if means else lines[:-1])


def cpu_table(results):
    return ratio_table(
        results, "CPU time relative to glibc (lower is better)", results.rows,
        cost, lambda r: amount(r, results.absolute(r, GLIBC, cost)))


def wall_table(results):
    rows = [r for r in results.rows if r.group == THREADS]
    if not rows:
        return ""
    return ratio_table(
        results, "Wall time relative to glibc, rows with threads", rows, wall,
        lambda r: f"{number(results.absolute(r, GLIBC, wall), 3)} s")


def ns_table(results):
    rows = [r for r in results.rows if r.group == MICRO]
    if not rows:
        return ""
    names = [a.name for a in results.allocators]
    lines = [[r.name, r.what, *(number(results.absolute(r, n, cost), 1)
                                for n in names)] for r in rows]
    return layout("CPU nanoseconds per malloc and its free",
                  ["row", "what", *names], lines)


def rss_table(results):
    rows = [r for r in results.rows if r.group != MICRO]
    if not rows:
        return ""
    return ratio_table(
        results, "Peak resident memory relative to glibc (lower is better)",
        rows, peak,
        lambda r: f"{number((results.absolute(r, GLIBC, peak) or 0) / 1024, 1)}"
                  " MiB")


def summary(results):
    """How often ours is the best, and how far the machine can be trusted."""
    ratios = [our_ratio(results, r, cost) for r in results.rows]
    ratios = [r for r in ratios if r]
    out = []
    if ratios:
        good = sum(r <= NEAR for r in ratios)
        out.append(f"ours is the fastest, or within 3 % of it, in {good} of "
                   f"{len(ratios)} rows")
    spreads = sorted((results.spread(r), r.name) for r in results.rows)
    if spreads:
        out.append(f"noise: glibc's own times vary by "
                   f"{median(s for s, _ in spreads):.0%} over the rounds "
                   f"(median row), {spreads[-1][0]:.0%} in {spreads[-1][1]}")
    for row, name, number_, why in results.failures:
        out.append(f"failed: {row} under {name}, round {number_}: {why}")
    for row, name in results.changed():
        out.append(f"output differs from glibc's: {row} under {name}")
    return "\n".join(out) + "\n"


def text(results):
    tables = [cpu_table(results), ns_table(results), wall_table(results),
              rss_table(results), summary(results)]
    return "\n".join(t for t in tables if t)


def write_csv(results, file):
    """One line for each run, so that other statistics can be had later."""
    with open(file, "w", newline="", encoding="ascii") as out:
        w = csv.writer(out)
        w.writerow(["round", "row", "group", "allocator", "cpu_s", "user_s",
                    "sys_s", "wall_s", "ns_per_op", "peak_kib",
                    "cost_to_glibc"])
        for row in results.rows:
            for a in results.allocators:
                base = results.of(row, GLIBC)
                for i, s in enumerate(results.of(row, a.name)):
                    if not s:
                        continue
                    ratio = s.cost / base[i].cost if base[i] else ""
                    w.writerow([i + 1, row.name, row.group, a.name,
                                f"{s.cpu:.6f}", f"{s.user:.6f}",
                                f"{s.sys:.6f}", f"{s.wall:.6f}",
                                s.ns or "", s.peak_kib,
                                f"{ratio:.4f}" if ratio else ""])
