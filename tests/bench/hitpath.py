# SPDX-License-Identifier: MIT
"""How long the hit paths are: executed, by callgrind, and written, by objdump.

Executed: a loop is run twice with different counts under callgrind, and the
difference of what was executed outside the program's own object file is
divided by the difference of the counts. Start-up cancels; the loop itself, its
PLT entries and its waiting are the program's own and do not count.

Written: from the first instruction of malloc or free straight on. The hit path
is the one on which no conditional branch is taken, by the way the compiler was
told to lay it out; a direct jmp is followed.
"""
import os
import re
import subprocess
import tempfile
from collections import Counter

import measure
import report
import rows

LOOPS = (
    rows.Row("pair-16", rows.MICRO, "malloc, free 16 B",
             ("pairs", "16", "{n}x"), work=20000),
    rows.Row("pair-64k", rows.MICRO, "malloc, free 64 KiB",
             ("pairs", "65536", "{n}x"), work=20000),
    rows.Row("batch-16", rows.MICRO, "128 mallocs, 128 frees 16 B",
             ("batch", "16", "{n}x"), work=25600),
    rows.Row("handoff", rows.THREADS, "producer to consumer 64 B",
             ("handoff", "64", "{n}"), work=262144),
)
LIMIT = 300  # instructions of a path before something is clearly wrong


def cost_outside(lines, program):
    """{function: instructions} executed outside the object file program.

    lines are a callgrind file written without compression. What follows a
    calls= line is the callee's inclusive cost, told again at the callee.
    """
    costs, function = Counter(), ""
    inside = inclusive = False
    for line in lines:
        if line.startswith("ob="):
            inside = os.path.basename(line[3:].strip()) == program
        elif line.startswith("fn="):
            function = line[3:].strip()
        elif line.startswith("calls="):
            inclusive = True
        elif line[:1].isdigit():
            if not inclusive and not inside:
                costs[function] += int(line.split()[1])
            inclusive = False
    return costs


def executed(bench, row, allocator, n):
    program = row.command[0]
    with tempfile.TemporaryDirectory(prefix="gostat-bench-") as folder:
        file = os.path.join(folder, "out")
        argv = [rows.system_program("valgrind"), "--tool=callgrind", "--quiet",
                f"--callgrind-out-file={file}", "--compress-strings=no",
                "--compress-pos=no", os.path.join(bench.bin, program)]
        argv += [w.format(n=n) for w in row.command[1:]]
        measure.Launch(bench, allocator.path, argv, allocator.env).finish()
        with open(file, encoding="utf-8") as out:
            return cost_outside(out, program)


def per_operation(bench, row, allocator):
    """{function: instructions for each operation}."""
    n = int(row.work)
    costs = executed(bench, row, allocator, 2 * n)
    costs.subtract(executed(bench, row, allocator, n))
    return {function: cost / n for function, cost in costs.items()}


def breakdown(costs):
    """The functions that matter, most expensive first."""
    ranked = sorted(((cost, f) for f, cost in costs.items()), reverse=True)
    return ", ".join(f"{f} {cost:.1f}" for cost, f in ranked if cost >= 0.5)


def print_instructions(bench, chosen, pattern):
    if not rows.system_program("valgrind"):
        raise SystemExit("bench: --instructions needs the package valgrind")
    lines, notes = [], []
    for row in rows.select(pattern, LOOPS):
        line = [row.name, row.what]
        for a in chosen:
            try:
                costs = per_operation(bench, row, a)
            except measure.Failed as why:
                notes.append(f"failed: {row.name} under {a.name}: {why}")
                line.append("-")
                continue
            line.append(report.number(sum(costs.values()), 1))
            if a.is_ours:
                notes.append(f"{row.name} under {a.name}: {breakdown(costs)}")
        lines.append(line)
    if not lines:
        raise SystemExit("bench: --instructions has the rows "
                         + ", ".join(row.name for row in LOOPS))
    print(report.layout(
        "Instructions executed in the allocator per malloc and its free",
        ["row", "what", *(a.name for a in chosen)], lines))
    print("\n".join(notes))
    return any(note.startswith("failed") for note in notes)


INSTRUCTION = re.compile(r"^\s*([0-9a-f]+):\t(.*?)\s*$")
DIRECT = re.compile(r"^(?:bnd )?jmp\s+([0-9a-f]+)\b")


def parse_disassembly(text):
    """[(address, instruction)] in order of address."""
    found = (INSTRUCTION.match(line) for line in text.splitlines())
    return [(int(m[1], 16), m[2]) for m in found if m]


def fall_through(code, start):
    """Instructions from start on until a ret or a jmp to elsewhere."""
    order = {address: i for i, (address, _) in enumerate(code)}
    path, at = [], order.get(start)
    while at is not None and at < len(code) and len(path) < LIMIT:
        address, text = code[at]
        path.append((address, text))
        jump = DIRECT.match(text)
        if jump:
            at = order.get(int(jump[1], 16))
        elif re.match(r"(bnd |repz |notrack )*(ret|jmp|ud2|hlt)", text):
            break
        else:
            at += 1
    return path


def symbol(library, name):
    """Address of an exported function."""
    table = subprocess.run(["nm", "-D", "--defined-only", library], text=True,
                           stdout=subprocess.PIPE, check=True).stdout
    for line in table.splitlines():
        fields = line.split()
        if fields[-1].split("@")[0] == name:
            return int(fields[0], 16)
    raise SystemExit(f"bench: {library} exports no {name}")


def print_disassembly(chosen):
    shown = [a for a in chosen if a.is_ours] or chosen[1:]
    for a in shown:
        text = subprocess.run(
            ["objdump", "-d", "--no-show-raw-insn", a.path], text=True,
            stdout=subprocess.PIPE, check=True).stdout
        code = parse_disassembly(text)
        for name in ("malloc", "free"):
            path = fall_through(code, symbol(a.path, name))
            calls = sum(t.startswith("call") for _, t in path)
            more = f", {calls} of them calls" if calls else ""
            print(f"{a.name}: {name}: {len(path)} instructions{more}")
            for address, instruction in path:
                print(f"  {address:x}:\t{instruction}")
            print()
    return 0
