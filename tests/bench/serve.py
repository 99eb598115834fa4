# SPDX-License-Identifier: MIT
"""What it costs to be asked: latencies, memory, and the program's own speed."""
import gzip
import os
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from statistics import median

import redis_load
import report

SCRAPES, PROFILES, REDIS_ROUNDS = 2000, 10, 7
STACKS, THREADS = 10000, 8
REDIS_REQUESTS = 300000
SCRAPE_PERIOD = 0.1


def ask(path, what):
    """The body of an answer to GET."""
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(60)
        s.connect(path)
        s.sendall(b"GET %s HTTP/1.1\r\nHost: gostat\r\n\r\n" % what.encode())
        data = b""
        while True:
            part = s.recv(1 << 20)
            if not part:
                break
            data += part
    head, _, body = data.partition(b"\r\n\r\n")
    if b" 200 " not in head.split(b"\r\n")[0]:
        raise OSError(f"{what}: {head[:100]!r}")
    return body


def status_kib(pid, name):
    for line in Path(f"/proc/{pid}/status").read_text("ascii").splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1])
    raise OSError(f"no {name} of {pid}")


class Program:
    """serving, preloaded, with or without a socket."""

    def __init__(self, bench, library, folder, *args, sock=True, **settings):
        self.path = os.path.join(folder, "serving.sock")
        env = {"LD_PRELOAD": library, **settings}
        if sock:
            env["GOSTAT_SOCKET"] = self.path
        self.p = subprocess.Popen(
            [os.path.join(bench.bin, "serving"), *map(str, args)], env=env,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.pid = self.p.pid

    def __enter__(self):
        if self.p.stdout.readline() != b"ready\n":
            raise OSError("serving does not start")
        return self

    def __exit__(self, *_):
        self.p.stdin.close()
        self.p.wait()
        self.p.stdout.close()


def latencies(path, what, times):
    """Milliseconds for each of a number of requests, sorted."""
    took = []
    for _ in range(times):
        start = time.perf_counter()
        ask(path, what)
        took.append((time.perf_counter() - start) * 1e3)
        time.sleep(0.001)
    return sorted(took)


def metrics_rows(bench, library, folder, times):
    for name, args in (("idle", ("idle", 0)),
                       (f"{THREADS} threads allocate",
                        ("threads", THREADS))):
        with Program(bench, library, folder, *args) as p:
            ask(p.path, "/metrics")
            ms = latencies(p.path, "/metrics", times)
        yield f"/metrics, {name}: median", median(ms), "ms"
        yield f"/metrics, {name}: 99 %", ms[int(len(ms) * 0.99)], "ms"


def profile_rows(bench, library, folder, times):
    with Program(bench, library, folder, "stacks", STACKS,
                 GOSTAT_PROFILE_RATE="1") as p:
        before = status_kib(p.pid, "VmRSS")
        Path(f"/proc/{p.pid}/clear_refs").write_text("5", "ascii")
        body = ask(p.path, "/debug/pprof/heap")
        peak = status_kib(p.pid, "VmHWM") - before
        ms = latencies(p.path, "/debug/pprof/heap", times)
    size = len(gzip.decompress(body))
    yield f"heap profile, {STACKS} stacks: median", median(ms), "ms"
    yield "  worst", ms[-1], "ms"
    yield "  memory while it is written", peak / 1024, "MiB"
    yield "  size", size / 1024 / 1024, "MiB"


def idle_rows(bench, library, folder, times):
    """What a socket that nobody asks adds; and one that was asked."""
    def resident(sock, asked=False):
        with Program(bench, library, folder, "idle", 0, sock=sock) as p:
            if asked:
                ask(p.path, "/metrics")
            time.sleep(0.1)
            return status_kib(p.pid, "VmRSS")
    plain, served, asked = [], [], []
    for _ in range(times):
        plain.append(resident(False))
        served.append(resident(True))
        asked.append(resident(True, True))
    yield "idle helper", median(served) - median(plain), "KiB"
    yield "  after one scrape", median(asked) - median(plain), "KiB"


class Scraper(threading.Thread):
    """Ten scrapes a second until it is told to stop."""

    def __init__(self, path):
        super().__init__()
        self.path, self.stop, self.count = path, threading.Event(), 0

    def run(self):
        while not self.stop.wait(SCRAPE_PERIOD):
            ask(self.path, "/metrics")
            self.count += 1


def redis_run(library, folder, scrape):
    """Seconds that redis-benchmark takes, and the server's CPU seconds."""
    port = os.path.join(folder, "redis.sock")
    sock = os.path.join(folder, "gostat.sock")
    server = subprocess.Popen(
        ["redis-server", "--port", "0", "--unixsocket", port, "--save", "",
         "--appendonly", "no"], stdout=subprocess.DEVNULL, cwd=folder,
        env={"LD_PRELOAD": library, "GOSTAT_SOCKET": sock})
    redis_load.connect(port, lambda: server.poll() is None).close()
    scraper = Scraper(sock) if scrape else None
    if scraper:
        scraper.start()
    start = time.perf_counter()
    subprocess.run(["redis-benchmark", "-s", port, "-q", "-r", "100000",
                    "-n", str(REDIS_REQUESTS), "-P", "8", "-t", "set,get"],
                   check=True, stdout=subprocess.DEVNULL)
    took = time.perf_counter() - start
    if scraper:
        scraper.stop.set()
        scraper.join()
        if scraper.count < took / SCRAPE_PERIOD / 2:
            raise OSError(f"only {scraper.count} scrapes in {took:.1f} s")
    server.terminate()
    _, _, usage = os.wait4(server.pid, 0)
    server.returncode = 0
    return took, usage.ru_utime + usage.ru_stime


def redis_rows(library, folder, rounds):
    if not shutil.which("redis-benchmark"):
        yield "redis: needs packages redis-server, redis-tools", None, ""
        return
    ratios, cpu = [], []
    for number in range(rounds):
        got = {}
        for scrape in (False, True) if number % 2 else (True, False):
            got[scrape] = redis_run(library, folder, scrape)
        ratios.append(got[True][0] / got[False][0])
        cpu.append(got[True][1] / got[False][1])
    yield "redis-benchmark, 10 scrapes a second: time", median(ratios), "x"
    yield "  the server's CPU time", median(cpu), "x"


def print_serve(bench, library, quick):
    """All figures of one library; 1 if there is none."""
    if not library:
        print("bench: --serve needs libgostat.so")
        return 1
    part = 5 if quick else 1
    folder = tempfile.mkdtemp(prefix="gostat-serve.")
    lines = []
    try:
        for rows in (metrics_rows(bench, library, folder, SCRAPES // part),
                     profile_rows(bench, library, folder, PROFILES // part),
                     idle_rows(bench, library, folder, 9 // part),
                     redis_rows(library, folder, REDIS_ROUNDS // part)):
            for name, value, unit in rows:
                lines.append([name, report.number(value), unit])
    finally:
        shutil.rmtree(folder)
    print(report.layout("being asked", ["what", "", ""], lines))
    return 0
