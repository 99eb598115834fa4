#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Programs that know what they leak, against what the library says of them.

    run.py --lib libgostat.so [--only N] [-v] SOURCE PROGRAM...

SOURCE's head comment has lines

    truth: ARGUMENTS | VERDICT [KEY=VALUE]...

VERDICT is "clean", or what is leaked: objects/bytes of direct leaks, and of
indirect ones behind a "+"; "unchecked": nobody looked; "none": no report. A process that becomes another
program has several, joined by ">" ("..." stands for any that came before).
Keys:

    status=N     exit status, -N for a signal (23, or 0 if clean)
    children=V,V verdicts of all child processes, in any order
    suppressed=O/B
    unused=RULE  suppressions that are reported as unused
    rules=R,R    lines of a file for GOSTAT_SUPPRESSIONS
    lsanrules=   the same for LSAN_OPTIONS' suppressions
    module=NAME, frame0=NAME
                 in every leak's stack, or first in it; first is the program
                 if nothing else is said
    stdout=TEXT
    stderr=TEXT  a part of it; nothing is written there if not said
    env=K=V      may be given several times
    modes=M,M    only in these (all)
    reclaim=no   what is live by a rule, or freed before the end, is garbage

Every program runs once in each mode:

    exit         GOSTAT_LEAKCHECK=exit
    find         the program asks gostat_find_leaks() before, three times
    stw          the same, with a stopped world instead of a snapshot
    parts        the same as find, as where the process can't be copied
    strict       as exit, with GOSTAT_ROOTS=strict
    reclaim      no check, but cycles that free what they find: what is not
                 leaked must stay as it is
    reclaimparts the same, without copies

The verdict and the three answers must be the truth; nothing else may be
written, and the report must have the shape that is documented.
"""

import argparse
import collections
import glob
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile

MODES = {
    "exit": {},
    "find": {"TRUTH_FOUND": "found"},
    "stw": {"TRUTH_FOUND": "found", "GODEBUG": "gcstoptheworld=1"},
    "parts": {"TRUTH_FOUND": "found", "GODEBUG": "gcnocopy=1"},
    "strict": {"GOSTAT_ROOTS": "strict"},
    "reclaim": {"GOSTAT_GC": "reclaim", "TRUTH_RECLAIM": "1"},
    "reclaimparts": {"GOSTAT_GC": "reclaim", "TRUTH_RECLAIM": "1",
                     "GODEBUG": "gcnocopy=1"},
}
SKIP = 77
LIMIT = 300  # seconds for one run: none takes one


class Wrong(Exception):
    pass


def expect(what, got, want):
    if got != want:
        raise Wrong(f"{what}: {got!r}, not {want!r}")


def truths(path):
    text = open(path, encoding="utf-8").read()
    for args, rest in re.findall(r"^ \* truth: *(.*?)\| *(.*)$", text, re.M):
        verdict, *pairs = shlex.split(rest)
        truth = {"args": args.split(), "reports": verdict, "env": {}}
        for pair in pairs:
            key, value = pair.split("=", 1)
            if key == "env":
                name, value = value.split("=", 1)
                truth["env"][name] = value
            else:
                truth[key] = value
        yield truth


def leaked(report):
    """A report's verdict, spelt as in a truth line."""
    sums = collections.Counter()
    for leak in report["leaks"]:
        sums[leak["kind"], "objects"] += leak["objects"]
        sums[leak["kind"], "bytes"] += leak["bytes"]
    direct = f'{sums["direct", "objects"]}/{sums["direct", "bytes"]}'
    indirect = f'{sums["indirect", "objects"]}/{sums["indirect", "bytes"]}'
    if report["status"] == "unchecked":
        if not report["reason"]:
            raise Wrong("unchecked, and no reason")
        return "unchecked"
    expect("status in the report", report["status"],
           "leaks" if report["leaks"] else "clean")
    if not report["leaks"]:
        return "clean"
    return direct if indirect == "0/0" else f"{direct}+{indirect}"


def well_formed(report):
    expect("version", report["version"], 1)
    for key in "pid exe status reason leaks suppressed unused_suppressions " \
               "live heap".split():
        if key not in report:
            raise Wrong(f"no {key} in the report")
    for leak in report["leaks"]:
        if not re.fullmatch("[0-9a-f]{16}", leak["fingerprint"]):
            raise Wrong(f'fingerprint {leak["fingerprint"]}')
        if not leak["stack"]:
            raise Wrong("a leak without a stack")


def module(frame):
    return os.path.basename(frame.get("module", ""))


def stacks(report, truth, program):
    for leak in report["leaks"]:
        names = [module(f) for f in leak["stack"]]
        first = truth.get("frame0", truth.get("module", program))
        expect("module of the first frame", names[0], first)
        if truth.get("module") and truth["module"] not in names:
            raise Wrong(f'{truth["module"]} is not in {names}')


def read_reports(folder):
    """By process, in the order in which they were written."""
    found = collections.defaultdict(list)
    for path in sorted(glob.glob(f"{folder}/report-*"),
                       key=lambda p: [int(n) for n in p.split("-")[-3:]]):
        with open(path, encoding="utf-8") as f:
            report = json.loads(f.read())
        well_formed(report)
        found[report["pid"]].append(report)
    return found


def said_in_between(path, verdicts):
    """What gostat_find_leaks() has answered, against each one's reports."""
    answers = collections.defaultdict(list)
    if os.path.exists(path):
        for line in open(path, encoding="utf-8"):
            pid, rest = line.split(" ", 1)
            answers[int(pid)].append(rest.split())
    if not answers:
        raise Wrong("the program has not asked")
    for pid, lines in answers.items():
        for count, verdict, _ in lines:
            objects = [int(part.split("/")[0]) for part in verdict.split("+")]
            expect("objects of gostat_find_leaks()", int(count), sum(objects))
            verdict = verdict.removesuffix("+0/0")
            verdict = "clean" if sum(objects) == 0 else verdict
            if verdict not in verdicts.get(pid, []):
                raise Wrong(f"gostat_find_leaks(): {verdict}, but at the end "
                            f"{verdicts.get(pid)}")


def check_reports(pid, reports, truth, program, found):
    verdicts = {p: [leaked(r) for r in rs] for p, rs in reports.items()}
    mine = ">".join(verdicts.pop(pid, ["none"]))
    want = truth["reports"]
    if want.startswith("..."):
        mine, want = mine.split(">")[-1], want.split(">")[-1]
    expect("leaked", mine, want)
    want = sorted(filter(None, truth.get("children", "").split(",")))
    expect("leaked by children",
           sorted(">".join(v) for v in verdicts.values()), want)
    for each in reports.values():
        for report in each:
            stacks(report, truth, program)
    last = reports[pid][-1] if pid in reports else {}
    if "suppressed" in truth:
        s = last["suppressed"]
        expect("suppressed", f'{s["objects"]}/{s["bytes"]}',
               truth["suppressed"])
    if "unused" in truth:
        expect("unused", last["unused_suppressions"], [truth["unused"]])
    if found:
        verdicts[pid] = [leaked(r) for r in reports[pid]]
        said_in_between(found, verdicts)


def environment(args, folder, truth, mode):
    env = dict(os.environ, LD_PRELOAD=args.lib, GOSTAT_LEAKCHECK="exit",
               GOSTAT_LEAKCHECK_OUT=f"{folder}/report-%p-%t-%n")
    env.pop("LSAN_OPTIONS", None)
    if "TRUTH_RECLAIM" in MODES[mode]:
        del env["GOSTAT_LEAKCHECK"], env["GOSTAT_LEAKCHECK_OUT"]
    for key, value in MODES[mode].items():
        env[key] = f"{folder}/{value}" if key == "TRUTH_FOUND" else value
    for key in "rules", "lsanrules":
        if key not in truth:
            continue
        with open(f"{folder}/rules", "w", encoding="utf-8") as f:
            f.write(truth[key].replace(",", "\n") + "\n")
        if key == "rules":
            env["GOSTAT_SUPPRESSIONS"] = f"{folder}/rules"
        else:
            env["LSAN_OPTIONS"] = f"suppressions={folder}/rules"
    env.update(truth["env"])
    return env


def run(args, program, truth, mode):
    """False: can't be run here."""
    with tempfile.TemporaryDirectory() as folder:
        env = environment(args, folder, truth, mode)
        child = subprocess.Popen(
            [program] + truth["args"], env=env, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            out, err = child.communicate(timeout=LIMIT)
        except subprocess.TimeoutExpired:
            child.kill()
            child.communicate()
            raise Wrong(f"still there after {LIMIT} s") from None
        if child.returncode == SKIP:
            return False
        if "TRUTH_RECLAIM" in MODES[mode]:
            expect("exit status, stderr", (child.returncode, err),
                   (int(truth.get("status", 0)), b""))
            return True
        err = err.decode(errors="replace")
        if err and truth.get("stderr", "\0") not in err or \
                not err and "stderr" in truth:
            raise Wrong(f"stderr (status {child.returncode}): {err}")
        check_reports(child.pid, read_reports(folder), truth,
                      os.path.basename(program), env.get("TRUTH_FOUND"))
        want = 0 if re.fullmatch("((clean|unchecked|none)>?)+", truth["reports"]) else 23
        expect("exit status", child.returncode,
               int(truth.get("status", want)))
        if "stdout" in truth:
            expect("stdout", out.decode().strip(), truth["stdout"])
    return True


def applies(truth, mode):
    if "TRUTH_RECLAIM" in MODES[mode] and (truth["reports"] != "clean" or
                              "/" in truth.get("children", "") or
                              {"suppressed", "reclaim"} & truth.keys() or
                              "LSAN_OPTIONS" in truth["env"]):
        return False
    also = {"reclaim": "find", "parts": "find", "reclaimparts": "find"}
    modes = truth.get("modes", mode).split(",")
    return mode in modes or also.get(mode) in modes


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--lib", required=True)
    parser.add_argument("--only", type=int, help="the Nth truth")
    parser.add_argument("--mode", choices=MODES)
    parser.add_argument("-v", action="store_true")
    parser.add_argument("source")
    parser.add_argument("program", nargs="+")
    args = parser.parse_args()
    ran = failed = 0

    for i, truth in enumerate(truths(args.source)):
        if args.only not in (None, i):
            continue
        for program in args.program:
            for mode in MODES:
                if not applies(truth, mode) or args.mode not in (None, mode):
                    continue
                what = " ".join([f"[{i}] {mode}:", os.path.basename(program)] +
                                truth["args"] +
                                [f"{k}={v}" for k, v in truth["env"].items()])
                try:
                    done = run(args, program, truth, mode)
                except Wrong as e:
                    failed += 1
                    print(f"{what}: {e}", flush=True)
                    continue
                ran += done
                if args.v:
                    print(what, "fine" if done else "can't be run here")
    print(f"{ran + failed} runs, {failed} wrong")
    if failed:
        return 1
    return 0 if ran else SKIP


if __name__ == "__main__":
    sys.exit(main())
