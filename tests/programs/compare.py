#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
compare: run real programs plain and under the library, expect no difference.

Each case of cases.py is a shell script. It runs twice in a fresh folder of
the same name, once as it is and once with LD_PRELOAD; the shell and all it
starts are preloaded too. Standard output, standard error and exit status must
be equal byte for byte, after a case has masked what varies by nature (process
numbers, times, addresses).

	setup (plain)  ->  script (plain)     ->  out, err, status
	setup (plain)  ->  script (preloaded) ->  out, err, status    equal?

Rules that keep a comparison honest:
  R1  the plain run must succeed by itself (or end in the status that the case
      names): two equal failures prove nothing. It is tried three times, since
      some programs' own tests mind a loaded machine; the preloaded run once;
  R2  the library is proved to be mapped in a preloaded process, else every
      case would pass with no library at all;
  R3  nothing outlives a run: this process adopts orphans and kills what is
      left, and it says so, since a plain program leaves nothing behind;
  R4  a case is skipped (exit status 77) only when a package is not installed
      or when the machine refuses what the case needs (user namespaces, root),
      and the reason is printed;
  R5  with --cycles, where cycles are asked for (--set GOGC=20), a case fails
      if no process of it has run one.

Exit status: 0 all equal, 1 a difference, 2 usage, 77 all skipped.
"""

import argparse
import ctypes
import difflib
import functools
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
import cases  # noqa: E402

SKIPPED = 77
SHOW = 60  # lines of a difference that are printed
HERE = os.path.dirname(os.path.realpath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))

SLOW = 3  # machines that are so much slower than cases expect, and busy

PRELUDE = r"""
ulimit -c 0
# await COMMAND...: until it succeeds, for at most three minutes.
await() {
	local i
	for ((i = 0; i < 1800; i++)); do
		"$@" >/dev/null 2>&1 && return 0
		sleep 0.1
	done
	echo "never came true: $*" >&2
	return 1
}
# Root may not run every server: `$unprivileged server & pid=$!` is nobody's.
unprivileged='setpriv --reuid=65534 --regid=65534 --clear-groups'
[ "$(id -u)" = 0 ] || unprivileged=
"""


@functools.cache
def on_this_machine():
    """Names of the installed packages."""
    r = subprocess.run(["dpkg-query", "-W", "-f",
                        "${db:Status-Abbrev} ${Package}\n"],
                       capture_output=True, text=True, check=True)
    return {line.split()[1] for line in r.stdout.splitlines()
            if line.startswith(("ii", "hi"))}


def installed(package):
    """True when one of the alternatives `a|b` is an installed package."""
    return not on_this_machine().isdisjoint(package.split("|"))


def environment(work, args, lib=None):
    """A small fixed environment: the caller's must not decide a result."""
    env = {
        "PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
        "HOME": work, "TMPDIR": work, "LANG": "C.UTF-8", "TZ": "UTC",
        "TERM": "dumb", "BIN": args.bin, "SRC": HERE,
    }
    if lib:
        env["LD_PRELOAD"] = lib
        env.update(s.split("=", 1) for s in args.set)
        if args.cycles:
            env["GOSTAT_ATEXIT"] = "stats"
            env["GOSTAT_ATEXIT_OUT"] = os.path.join(tally(work), "%p-%n-%t")
    return env


def tally(work):
    """The folder where each process of a run leaves its MemStats."""
    path = os.path.join(os.path.dirname(work), "tally")
    os.makedirs(path, exist_ok=True)
    os.chmod(path, 0o1777)
    return path


def count_cycles(work):
    """Cycles of all processes of a run; what they left is removed."""
    n = 0
    for name in os.listdir(tally(work)):
        with open(os.path.join(tally(work), name), encoding="latin1") as f:
            n += sum(map(int, re.findall(r"^NumGC = (\d+)", f.read(), re.M)))
    shutil.rmtree(tally(work))
    return n


def descendants():
    """Processes whose parent is this one: children and adopted orphans."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/stat", encoding="latin1") as f:
                text = f.read()
            name = text[text.index("(") + 1:text.rindex(")")]
            state, parent = text[text.rindex(")") + 2:].split()[:2]
        except (OSError, ValueError):
            continue
        if int(parent) == os.getpid() and state != "Z":
            found.append((int(pid), name))
    return found


def reap():
    """Kill and collect what a run left behind; its names are returned."""
    names = []
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and descendants():
        time.sleep(0.05)  # daemons on their way out
    while left := descendants():
        for pid, name in left:
            names.append(name)
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass
    return names


def shell(text, work, env, timeout, leaves=False):
    """Run a script; returns (stdout, stderr, status)."""
    out, err = (os.path.join(os.path.dirname(work), n) for n in ("out", "err"))
    with open(out, "wb") as o, open(err, "wb") as e:
        p = subprocess.Popen(["/bin/bash", "-c", PRELUDE + text, "case"],
                             cwd=work, env=env, stdin=subprocess.DEVNULL,
                             stdout=o, stderr=e, start_new_session=True)
        try:
            status = p.wait(timeout * SLOW)
        except subprocess.TimeoutExpired:
            os.killpg(p.pid, signal.SIGKILL)
            p.wait()
            status = f"none within {timeout * SLOW} s"
    left = reap()
    with open(out, "rb") as o, open(err, "rb") as e:
        texts = o.read(), e.read()
    if left and not leaves:
        status = f"{status}, left running: {' '.join(sorted(left))}"
    return *texts, status


class Run:
    """What one run of a case showed."""

    def __init__(self, case, base, args, lib):
        work = os.path.join(base, "w")
        os.mkdir(work)
        os.chmod(work, 0o755)
        plain = environment(work, args)
        if case.setup:
            out, err, status = shell(case.setup, work, plain, case.timeout)
            if status != 0:
                raise RuntimeError(f"set-up failed: {status}\n" +
                                   (out + err).decode(errors="replace"))
        started = time.monotonic()
        self.out, self.err, self.status = shell(
            case.script, work, environment(work, args, lib), case.timeout,
            case.leaves)
        self.seconds = time.monotonic() - started
        self.cycles = count_cycles(work) if lib and args.cycles else None
        for pattern, mask in case.normalize:
            self.out = re.sub(pattern, mask, self.out, flags=re.M)
            self.err = re.sub(pattern, mask, self.err, flags=re.M)
        subprocess.run(["chmod", "-R", "u+rwX", work], check=False,
                       stderr=subprocess.DEVNULL)
        shutil.rmtree(work)


def difference(name, plain, ours):
    """The lines of a diff of two byte strings, cut to a screen."""
    a, b = (t.decode(errors="backslashreplace").splitlines()
            for t in (plain, ours))
    lines = list(difflib.unified_diff(a, b, f"{name} plain",
                                      f"{name} preloaded", "", "", 2, ""))
    if len(lines) > SHOW:
        lines[SHOW:] = [f"… {len(lines) - SHOW} more lines"]
    return lines


def tail(run):
    """The end of what a run printed."""
    return [*run.out.decode(errors="replace").splitlines()[-20:],
            *run.err.decode(errors="replace").splitlines()[-20:]]


def mapped(lib, base, args):
    """R2: the library is in a process that is preloaded with it."""
    r = subprocess.run(["/bin/cat", "/proc/self/maps"], capture_output=True,
                       env=environment(base, args, lib), text=True)
    return os.path.basename(lib) in r.stdout and r.stderr == ""


def compare(case, base, args, lib):
    """Run a case both ways; returns 0, 1 or SKIPPED and prints why."""
    def tell(word, *lines):
        print(f"{word:7} {case.name}", *lines, sep="\n    ", flush=True)

    for p in case.packages:
        if not installed(p):
            tell("skipped", f"package {p} is not installed")
            return SKIPPED
    if case.needs:
        _, err, status = shell(case.needs, base, environment(base, args), 30)
        if status != 0:
            tell("skipped", f"this machine refuses: {case.needs.strip()}",
                 err.decode(errors="replace").strip())
            return SKIPPED
    try:
        for _ in range(3):
            plain = Run(case, base, args, None)
            if plain.status == case.status:
                break
        else:
            tell("FAILED", f"the plain run ended with {plain.status}, "
                 f"expected {case.status}", *tail(plain))
            return 1
        ours = Run(case, base, args, lib)
    except RuntimeError as e:
        tell("FAILED", *str(e).splitlines())
        return 1
    if args.show:
        print((plain.out + plain.err).decode(errors="backslashreplace"))
    lines = [*difference("stdout", plain.out, ours.out),
             *difference("stderr", plain.err, ours.err)]
    if plain.status != ours.status:
        lines.append(f"status: plain {plain.status}, "
                     f"preloaded {ours.status}")
    if ours.cycles == 0:
        lines.append("no cycle has been run")
    if lines:
        tell("FAILED", *lines)
        return 1
    tell("same", f"{len(plain.out)} + {len(plain.err)} bytes, status "
         f"{plain.status}; {plain.seconds:.2f} s, "
         f"preloaded {ours.seconds:.2f} s" +
         (f", {ours.cycles} cycles" if ours.cycles else ""))
    return 0


def main():
    """Parse the command line and run the cases it names."""
    p = argparse.ArgumentParser(description=__doc__.split("\n")[1])
    p.add_argument("--list", action="store_true", help="print the cases")
    p.add_argument("--packages", action="store_true",
                   help="print the Debian packages that the cases lack")
    p.add_argument("--lib", default=f"{TOP}/build/libgostat.so",
                   help="library to preload")
    p.add_argument("--show", action="store_true",
                   help="print what the plain run printed")
    p.add_argument("--bin", default=f"{TOP}/build/tests/programs",
                   help="folder of the small programs in C")
    p.add_argument("--set", metavar="NAME=VALUE", action="append", default=[],
                   help="a variable of the preloaded run")
    p.add_argument("--cycles", action="store_true",
                   help="count cycles, and fail where there are none")
    p.add_argument("name", nargs="*", help="cases; all when none is named")
    args = p.parse_args()

    table = {c.name: c for c in cases.CASES}
    if args.list:
        print(*table, sep="\n")
        return 0
    if args.packages:
        for p in sorted({p for c in cases.CASES for p in c.packages}):
            if not installed(p):
                print(p.split("|")[0])
        return 0
    unknown = [n for n in args.name if n not in table]
    if unknown or not os.path.isfile(args.lib):
        print("compare.py: no such case:" if unknown else
              "compare.py: no such library:", *unknown or [args.lib],
              file=sys.stderr)
        return 2

    args.bin = os.path.abspath(args.bin)
    # Orphans of the cases come to this process, so that it can end them (R3).
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER
    base = tempfile.mkdtemp(prefix="gp-", dir="/tmp")
    try:
        os.chmod(base, 0o755)
        # A copy in a plain place: cases that change user must reach it.
        lib = shutil.copy(args.lib, base)
        os.chmod(lib, 0o755)
        if not mapped(lib, base, args):
            print(f"compare.py: {args.lib} does not load", file=sys.stderr)
            return 1
        results = [compare(table[n], base, args, lib)
                   for n in args.name or table]
    finally:
        shutil.rmtree(base, ignore_errors=True)
    if 1 in results:
        return 1
    return SKIPPED if set(results) == {SKIPPED} else 0


if __name__ == "__main__":
    sys.exit(main())
