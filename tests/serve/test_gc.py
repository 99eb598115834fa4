#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""
test_gc.py LIBRARY: cycles of a real program, asked for over its socket.

A Python that loses blocks of known sizes through ctypes: POST /gc, GET /leaks
in its three forms, PUT /gogc, ?gc=1, the metrics, events in a trace, and that
the server answers while a copy marks.
"""
import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time

PROGRAM = """
import ctypes, sys
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
keep = [bytes(1000) for _ in range(1000)]
for _ in range(30):
    libc.malloc(5000)
heap = (ctypes.c_void_p * 200000)()
if len(sys.argv) > 1:
    for i in range(200000):
        heap[i] = libc.malloc(100 + i % 200)
print("ready", flush=True)
sys.stdin.read()
"""
LOST, SIZE = 30, 5000
SLACK = 3  # of the last ones an address may lie about somewhere


class Connection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("gostat", timeout=300)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Program:
    """The program, with a socket; a context."""

    def __init__(self, library, folder, *args, **env):
        self.path = os.path.join(folder, "s")
        self.env = {"LD_PRELOAD": library, "GOSTAT_SOCKET": self.path, **env}
        self.args = args

    def __enter__(self):
        self.p = subprocess.Popen(
            ["/usr/bin/python3", "-c", PROGRAM, *self.args], env=self.env,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.p.stdout.readline() == "ready\n"
        return self

    def __exit__(self, *_):
        self.p.stdin.close()
        assert self.p.wait(300) == 0
        self.p.stdout.close()

    def ask(self, method, path, body=None, status=200):
        c = Connection(self.path)
        c.request(method, path, body)
        r = c.getresponse()
        data = r.read()
        assert r.status == status, (path, r.status, data)
        c.close()
        return data

    def text(self, *args, **more):
        return self.ask(*args, **more).decode()

    def metric(self, name):
        lines = self.text("GET", "/metrics").splitlines()
        return float(next(l for l in lines if l.startswith(name + " "))
                     .split()[-1])


def lost(n):
    return LOST - SLACK <= n <= LOST


def leaks_of(report):
    """Objects of the lost size in a JSON report."""
    assert report["status"] == "leaks", report["status"]
    return sum(g["objects"] for g in report["leaks"]
               if g["bytes"] == g["objects"] * SIZE)


def test_gc(p):
    # /leaks before the first cycle runs one; afterwards it shows that.
    report = json.loads(p.ask("GET", "/leaks?format=json"))
    assert lost(leaks_of(report)), report["leaks"]
    assert os.path.realpath(report["exe"]) == \
        os.path.realpath("/usr/bin/python3")
    assert report["heap"]["NumGC"] == 1
    assert json.loads(p.ask("GET", "/leaks?format=json"))["heap"]["NumGC"] == 1
    figures = dict(line.split(" = ")
                   for line in p.text("POST", "/gc").splitlines())
    assert figures["NumGC"] == "2" and int(figures["PauseNs"]) > 0, figures
    assert figures["NextGC"] == str(2 ** 64 - 1)
    figures = json.loads(p.ask("POST", "/gc?format=json"))
    assert figures["NumGC"] == 3 and figures["CPUNs"] > 0, figures
    assert figures["LiveBytes"] > 1000 * 1000
    assert figures["LeakedBytes"] >= (LOST - SLACK) * SIZE
    assert p.metric("gostat_leaked_bytes") == figures["LeakedBytes"]
    p.ask("POST", "/gc?format=xml", status=400)
    p.ask("GET", "/leaks?format=xml", status=400)
    p.ask("GET", "/gc", status=405)
    p.ask("GET", "/debug/pprof/heap?gc=1")
    assert p.metric(
        'gostat_cycles_total{outcome="completed",reason="forced"}') == 4
    assert p.metric("gostat_pause_seconds_count") == 4
    stats = json.loads(p.ask("GET", "/memstats?format=json"))
    assert stats["NumGC"] == stats["NumForcedGC"] == 4
    text = p.text("GET", "/leaks")
    assert "detected memory leaks" in text and "SUMMARY: gostat: " in text


def test_gogc(p):
    assert p.text("PUT", "/gogc", "100") == "off\n"
    assert p.metric("go_gc_gogc_percent") == 100
    assert p.metric("go_memstats_next_gc_bytes") >= 2 << 20
    assert p.text("PUT", "/gogc", "off") == "100\n"


def test_pprof(p, folder):
    file = os.path.join(folder, "leaks.pb.gz")
    with open(file, "wb") as f:
        f.write(p.ask("GET", "/leaks?format=pprof"))
    if not shutil.which("go"):
        return
    out = subprocess.run(
        ["go", "tool", "pprof", "-raw", "-symbolize=none", file], check=True,
        capture_output=True, text=True,
        env={**os.environ, "PPROF_TMPDIR": folder}).stdout
    counts = [line.split(":")[0].split() for line in out.splitlines()
              if ":" in line and line.split(":")[0].strip()[:1].isdigit()]
    assert any(len(c) == 4 and c[1] == str(int(c[0]) * SIZE) and
               lost(int(c[0])) for c in counts), out[:2000]
    # Names come with it: nothing is asked of the files (-symbolize=none).
    assert " PyEval_EvalCode " in out and "__libc_start_main" in out, out


def test_trace(p, folder):
    data = []
    t = threading.Thread(target=lambda: data.append(
        p.ask("GET", "/debug/pprof/trace?seconds=2")))
    t.start()
    # Again and again: nobody knows when the trace begins on a busy machine.
    while t.is_alive():
        p.ask("POST", "/gc")
        time.sleep(0.05)
    t.join()
    file = os.path.join(folder, "trace")
    with open(file, "wb") as f:
        f.write(data[0])
    if not shutil.which("go"):
        return
    out = subprocess.run(["go", "tool", "trace", "-d", file], check=True,
                         capture_output=True, text=True)
    for event in (" GCStart ", " GCDone ", " GCSTWStart ", " GCSTWDone "):
        assert event in out.stdout + out.stderr, out.stdout[-2000:]


def test_served_meanwhile(p):
    """Others are answered while cycles run one after the other."""
    stop = threading.Event()
    asked = []

    def cycles():
        while not stop.is_set():
            p.ask("POST", "/gc")
            asked.append(1)
    threads = [threading.Thread(target=cycles) for _ in range(4)]
    for t in threads:
        t.start()
    for _ in range(50):
        p.ask("GET", "/memstats")
    stop.set()
    for t in threads:
        t.join()
    assert asked
    done = json.loads(p.ask("GET", "/memstats?format=json"))["NumGC"]
    # Who asks while one runs has the next one; they share it.
    assert done <= 8 + len(asked)


def main(library):
    with tempfile.TemporaryDirectory() as folder:
        # Every stack is needed for every lost block to show its size.
        with Program(library, folder, GOSTAT_PROFILE_RATE="1") as p:
            test_gc(p)
            test_gogc(p)
            test_pprof(p, folder)
            test_trace(p, folder)
        with Program(library, folder, "large") as p:
            test_served_meanwhile(p)
        with Program(library, folder, GOSTAT_GC="off") as p:
            assert "GOSTAT_GC=off" in p.text("POST", "/gc", status=503)
            report = json.loads(p.ask("GET", "/leaks?format=json"))
            assert report["status"] == "unchecked", report
            assert report["reason"] == "GOSTAT_GC=off"


if __name__ == "__main__":
    main(sys.argv[1])
