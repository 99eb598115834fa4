# SPDX-License-Identifier: MIT
"""Unit tests of the benchmark harness: what turns samples into figures."""
import dataclasses
import os
import pathlib
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import allocators
import data
import hitpath
import measure
import redis_load
import report
import rows

ROW = rows.Row("r", rows.SINGLE, "", ("r",))
BASE = allocators.Allocator("glibc")
OURS = allocators.Allocator("gostat", "/ours", is_ours=True)
PEER = allocators.Allocator("peer", "/peer")


def sample(cpu, check="x"):
    return measure.Sample(cpu=cpu, user=cpu, sys=0.0, wall=2 * cpu,
                          peak_kib=1000, ns=0.0, check=check)


def results(**costs):
    """Results of one row; a cost of None is a failed run."""
    known = {a.name: a for a in (BASE, OURS, PEER)}
    out = report.Results([ROW], [known[name] for name in costs])
    for name, values in costs.items():
        for i, value in enumerate(values):
            if value is None:
                out.fail(ROW, known[name], i + 1, "why")
            else:
                out.add(ROW, known[name], sample(value))
    return out


class Ratios(unittest.TestCase):
    def test_ratio_is_the_median_of_each_rounds_ratio(self):
        # The middle round was slow for all; medians apart would give 4/3.
        r = results(glibc=[1.0, 10.0, 3.0], gostat=[0.5, 5.0, 4.0])
        self.assertAlmostEqual(r.ratio(ROW, "gostat", report.cost), 0.5)

    def test_failed_round_leaves_no_ratio(self):
        r = results(glibc=[1.0, 1.0], gostat=[0.5, None])
        self.assertIsNone(r.ratio(ROW, "gostat", report.cost))
        self.assertIn("failed: r under gostat, round 2: why",
                      report.summary(r))

    def test_our_builds_are_no_peers_and_glibc_is_one(self):
        r = results(glibc=[1.0], gostat=[0.5], peer=[2.0])
        self.assertEqual(r.best_peer(ROW, report.cost), ("glibc", 1.0))
        self.assertAlmostEqual(report.our_ratio(r, ROW, report.cost), 0.5)

    def test_other_output_is_told(self):
        r = results(glibc=[1.0], gostat=[])
        r.add(ROW, OURS, sample(1.0, check="y"))
        self.assertEqual(r.changed(), [("r", "gostat")])

    def test_geometric_mean(self):
        self.assertAlmostEqual(report.geomean([0.5, 2.0, 8.0]), 2.0)

    def test_table_has_the_figures(self):
        text = report.text(results(glibc=[2.0], gostat=[1.0], peer=[4.0]))
        line = next(x for x in text.splitlines() if x.startswith("r "))
        self.assertEqual(line.split(), ["r", "2.000", "s", "0.50", "2.00",
                                        "glibc", "0.50"])

    def test_csv_has_a_line_for_each_run(self):
        with tempfile.TemporaryDirectory() as folder:
            file = os.path.join(folder, "out.csv")
            report.write_csv(results(glibc=[2.0, 4.0], gostat=[1.0, 1.0]), file)
            with open(file, encoding="ascii") as text:
                lines = text.read().splitlines()
        self.assertEqual(len(lines), 5)
        self.assertTrue(lines[-1].startswith("2,r,single,gostat,1.000000"))
        self.assertTrue(lines[-1].endswith(",0.2500"))


class Parsing(unittest.TestCase):
    def test_launch_line(self):
        s = measure.parse("0 5000000 1500 500 2048", b"ns_per_op 3.5\n", b"")
        self.assertEqual((s.cpu, s.wall, s.peak_kib), (0.002, 0.005, 2048))
        self.assertEqual(s.cost, 3.5)

    def test_bad_status_raises(self):
        with self.assertRaisesRegex(measure.Failed, "139: last words"):
            measure.parse("139 1 1 1 1", b"", b"first\nlast words\n")

    def test_speed_is_no_part_of_the_check(self):
        one = measure.parse("0 1 1 1 1", b"ns_per_op 3\ncheck a\n", b"")
        two = measure.parse("0 1 1 1 1", b"ns_per_op 4\ncheck a\n", b"")
        bad = measure.parse("0 1 1 1 1", b"ns_per_op 4\ncheck b\n", b"")
        self.assertEqual(one.check, two.check)
        self.assertNotEqual(one.check, bad.check)

    def test_pair_with_settings(self):
        with tempfile.NamedTemporaryFile() as lib:
            lib.write(b"..GOSTAT_GC..")
            lib.flush()
            a = allocators.parse_pair(f"old={lib.name}+A=1+B=x=y")
        self.assertEqual(a.env, {"A": "1", "B": "x=y"})
        self.assertTrue(a.is_ours)

    def test_pair_without_file(self):
        with self.assertRaises(allocators.Unusable):
            allocators.parse_pair("old=/nonexistent.so")

    def test_callgrind_cost_outside_the_program(self):
        lines = ["ob=/x/pairs", "fn=main", "10 100", "cob=/lib/a.so",
                 "cfn=malloc", "calls=5 20", "10 999", "11 7",
                 "ob=/lib/a.so", "fn=malloc", "20 40", "0x15 2"]
        self.assertEqual(hitpath.cost_outside(lines, "pairs"),
                         {"malloc": 42})
        self.assertEqual(hitpath.cost_outside(lines, "a.so"), {"main": 107})

    def test_breakdown_is_ranked(self):
        self.assertEqual(hitpath.breakdown({"a": 2.0, "b": 9.0, "c": 0.1}),
                         "b 9.0, a 2.0")

    def test_redis_wire(self):
        self.assertEqual(redis_load.wire([b"GET", b"k"]),
                         b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n")


class FallThrough(unittest.TestCase):
    CODE = hitpath.parse_disassembly(
        "0000000000001000 <malloc>:\n"
        "    1000:\tmov    %rdi,%rax\n"
        "    1003:\tja     1010 <malloc+0x10>\n"
        "    1005:\tjmp    1020 <hit>\n"
        "    1010:\tud2\n"
        "\n"
        "0000000000001020 <hit>:\n"
        "    1020:\tbnd jmp 1024 <hit+0x4>\n"
        "    1024:\tret\n"
        "    1025:\tnop\n")

    def test_follows_direct_jumps_and_stops_at_ret(self):
        path = hitpath.fall_through(self.CODE, 0x1000)
        self.assertEqual([a for a, _ in path],
                         [0x1000, 0x1003, 0x1005, 0x1020, 0x1024])

    def test_unknown_start(self):
        self.assertEqual(hitpath.fall_through(self.CODE, 0x9999), [])


class Tables(unittest.TestCase):
    def test_names_are_unique_and_groups_known(self):
        names = [row.name for row in rows.ROWS]
        self.assertEqual(len(set(names)), len(names))
        self.assertLessEqual({row.group for row in rows.ROWS},
                             set(rows.GROUPS))

    def test_select(self):
        got = [row.name for row in rows.select("pair-1?,redis")]
        self.assertEqual(got, ["pair-16", "pair-1k", "pair-1m", "redis"])
        self.assertEqual(len(rows.select("threads")), 4)

    def test_data_is_the_same_every_time(self):
        with tempfile.TemporaryDirectory() as one, \
                tempfile.TemporaryDirectory() as two:
            for name in data.MAKERS:
                files = [data.path(f, name, 0.01) for f in (one, two)]
                texts = [pathlib.Path(f).read_bytes() for f in files]
                self.assertEqual(*texts)
                self.assertGreater(len(texts[0]), 500)

    def test_every_program_of_a_row_has_its_source(self):
        for row in rows.ROWS:
            if not row.package:
                source = os.path.join(rows.HERE, row.command[0] + ".c")
                self.assertTrue(os.path.exists(source), source)


class Order(unittest.TestCase):
    def test_each_allocator_goes_first_once(self):
        import bench
        first = []

        def run(_, row, allocator):
            calls.append(allocator.name)
            return sample(1.0)

        real, measure.run = measure.run, run
        try:
            for number in range(3):
                calls = []
                one = dataclasses.replace(ROW, name=f"r{number}")
                bench.compare(None, [BASE, OURS, PEER], [one], number + 1)
                first.append(calls[-3])
        finally:
            measure.run = real
        self.assertEqual(first, ["glibc", "gostat", "peer"])


if __name__ == "__main__":
    unittest.main()
