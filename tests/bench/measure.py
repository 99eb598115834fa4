# SPDX-License-Identifier: MIT
"""Run one row under one allocator and say what it cost.

Every program is started by the small `launch` program, which sets LD_PRELOAD
for it alone and reads its cost with wait4. The environment is the same bare
one for all.
"""
import hashlib
import os
import signal
import subprocess
import tempfile
import threading
from dataclasses import dataclass

import data
import redis_load
import rows

TIMEOUT = 120


@dataclass(frozen=True)
class Sample:
    """One run. Times in seconds, ns only for micro rows."""
    cpu: float
    user: float
    sys: float
    wall: float
    peak_kib: int
    ns: float
    check: str

    @property
    def cost(self):
        """What ratios are made of."""
        return self.ns or self.cpu


class Failed(Exception):
    """The program did not end well; says how."""


@dataclass(frozen=True)
class Bench:
    """Where things are and how much to do."""
    bin: str        # folder of the compiled programs
    cache: str      # folder of generated input files
    scale: float    # of fixed amounts of work
    ms: int         # of a micro loop

    def data_file(self, row):
        return data.path(self.cache, row.data, row.data_scale * self.scale)

    def program(self, row):
        name = row.command[0]
        if row.package:
            return rows.system_program(name)
        return os.path.join(self.bin, name)

    def argv(self, row):
        words = {
            "ms": self.ms,
            "work": max(1, round(row.work * self.scale)),
            "data": self.data_file(row) if row.data else "",
            "here": rows.HERE,
        }
        return [self.program(row)] + [w.format(**words)
                                      for w in row.command[1:]]


def environment(extra):
    return {"PATH": rows.SYSTEM_PATH, "HOME": "/", "LC_ALL": "C.UTF-8", **extra}


class Launch:
    """A started `launch`; finish() gives its samples and the output."""

    def __init__(self, bench, library, argv, env, stdin=None, times=1):
        self.argv = argv
        read, write = os.pipe()
        launch = [os.path.join(bench.bin, "launch"), str(write),
                  library or "-", str(times)]
        with open(stdin or os.devnull, "rb") as source:
            self.process = subprocess.Popen(
                launch + argv, env=environment(env), stdin=source,
                stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                pass_fds=[write], start_new_session=True)
        os.close(write)
        self.costs = os.fdopen(read)
        self.out = b""      # of the program, after finish()

    def alive(self):
        return self.process.poll() is None

    def kill(self):
        """End launch and the program it runs: they are a session alone."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass

    def finish(self, timeout=TIMEOUT):
        try:
            out, err = self.process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            self.process.communicate()
            raise Failed(f"no end after {timeout} s") from None
        except BaseException:
            self.kill()
            self.process.wait()
            raise
        finally:
            with self.costs:
                lines = self.costs.read().splitlines()
        self.out = out
        if not lines:
            raise Failed(err.decode(errors="replace").strip() or "no start")
        return [parse(line, out, err) for line in lines]


def parse(line, out, err):
    """A Sample from launch's line and the program's output."""
    status, wall, user, system, peak = map(int, line.split())
    if status:
        last = err.decode(errors="replace").strip().splitlines()[-1:]
        raise Failed(": ".join([f"exit status {status}", *last]))
    ns, rest = 0.0, []
    for text in out.splitlines():
        if text.startswith(b"ns_per_op "):
            ns = float(text.split()[1])
        else:
            rest.append(text)
    check = hashlib.sha256(b"\n".join(rest)).hexdigest()[:16]
    return Sample(cpu=(user + system) / 1e6, user=user / 1e6, sys=system / 1e6,
                  wall=wall / 1e9, peak_kib=peak, ns=ns, check=check)


def run(bench, row, allocator, prefix=(), timeout=TIMEOUT):
    """One Sample of the row under the allocator; raises Failed.

    prefix: a command that runs the program, and whose cost counts too.
    """
    env = {**row.env, **allocator.env}
    if row.server:
        return run_server(bench, row, allocator, env, prefix, timeout)
    stdin = bench.data_file(row) if row.stdin else None
    return Launch(bench, allocator.path, [*prefix, *bench.argv(row)], env,
                  stdin).finish(timeout)[0]


def run_server(bench, row, allocator, env, prefix, timeout):
    """redis-server under load from here; its own cost only.

    Debian links redis-server with libjemalloc. Putting libc first in the
    lookup order is what makes the glibc column glibc.
    """
    batches = redis_load.read_batches(bench.data_file(row))
    with tempfile.TemporaryDirectory(prefix="gostat-bench-") as folder:
        path = os.path.join(folder, "sock")
        argv = [*prefix, bench.program(row), "--port", "0", "--unixsocket", path,
                "--dir", folder, "--save", "", "--appendonly", "no",
                "--loglevel", "warning", "--jemalloc-bg-thread", "no"]
        launch = Launch(bench, allocator.path or "libc.so.6", argv, env)
        watchdog = threading.Timer(timeout, launch.kill)
        watchdog.start()
        error = None
        try:
            check = redis_load.replay(path, batches, launch.alive)
        except OSError as caught:
            error = caught
        except BaseException:
            launch.kill()
            raise
        finally:
            watchdog.cancel()
        samples = launch.finish(timeout)
        if error:
            raise Failed(f"redis-server: {error}")
    return Sample(**{**samples[0].__dict__, "check": f"{check:x}"})
