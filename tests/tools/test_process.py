#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The verbs that ask a running process: heap, stats, free, list; and run.

test_process.py GOSTAT LIBRARY HOLDER; in a current folder of its own.
"""
import gzip
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import unittest

GOSTAT, LIBRARY, HOLDER = (os.path.abspath(p) for p in sys.argv[1:4])
ENV = {k: v for k, v in os.environ.items()
       if not k.startswith("GOSTAT") and k != "LD_PRELOAD"}


def gostat(*args, text=True, **env):
    return subprocess.run([GOSTAT, *map(str, args)], text=text,
                          capture_output=True, env={**ENV, **env},
                          timeout=600)


def stop_in_sleep(p):
    """Stop a child while it sleeps, as far as the kernel lets us see that."""
    while p.poll() is None:
        os.kill(p.pid, signal.SIGSTOP)
        os.waitid(os.P_PID, p.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
        try:
            with open(f"/proc/{p.pid}/syscall") as f:
                call = f.read().split()[0]
        except OSError:
            return
        if call in ("35", "219", "230"):  # nanosleep, and its two others
            return
        os.kill(p.pid, signal.SIGCONT)
        time.sleep(0.01)


class Holder:
    def __init__(self, **env):
        self.p = subprocess.Popen(
            [HOLDER], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            text=True, env={**ENV, "LD_PRELOAD": LIBRARY,
                            "GOSTAT_SOCKET": "auto",
                            "GOSTAT_PROFILE_RATE": "1", **env})
        assert self.p.stdout.readline() == "ready\n"
        self.pid = self.p.pid
        # The socket is there a moment after main has begun.
        end = time.monotonic() + 200
        while env.get("GOSTAT_SOCKET") != "off" and \
                gostat("stats", self.pid).returncode:
            assert time.monotonic() < end, gostat("stats", self.pid).stderr
            time.sleep(0.05)

    def more(self):
        self.p.stdin.write("x")
        self.p.stdin.flush()
        assert self.p.stdout.readline() == "more\n"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.p.kill()
        self.p.communicate()


def fields(data):
    """(number, value) of a message; value is int or bytes."""
    i = 0

    def varint():
        nonlocal i
        v = shift = 0
        while True:
            c = data[i]
            i += 1
            v |= (c & 127) << shift
            shift += 7
            if c < 128:
                return v
    while i < len(data):
        key = varint()
        if key & 7 == 0:
            yield key >> 3, varint()
        else:
            n = varint()
            yield key >> 3, data[i:i + n]
            i += n


def packed(run):
    while run:
        n = next(k for k, c in enumerate(run) if c < 128) + 1
        yield sum((c & 127) << 7 * k for k, c in enumerate(run[:n]))
        run = run[n:]


class Profile:
    """As much of profile.proto as the tests look at."""

    def __init__(self, data):
        top = {n: [] for n in range(1, 16)}
        for n, v in fields(gzip.decompress(data)):
            top[n].append(v)
        self.strings = [s.decode() for s in top[6]]
        text = self.strings.__getitem__
        self.types = [text(dict(fields(t))[1]) for t in top[1]]
        self.mappings = [dict(fields(m)) for m in top[3]]
        functions = {dict(fields(f))[1]: dict(fields(f)) for f in top[5]}
        self.default = text(top[14][0]) if top[14] else ""
        self.locations = {}
        for raw in top[4]:
            lines = [dict(fields(v)) for n, v in fields(raw) if n == 4]
            self.locations[dict(fields(raw))[1]] = [
                (text(functions[f[1]].get(2, 0)),
                 text(functions[f[1]].get(4, 0)), f.get(2, 0))
                for f in lines]
        self.samples = []
        for raw in top[2]:
            s = dict(fields(raw))
            values = [v - (v >> 63 << 64) for v in packed(s[2])]
            stack = [f for loc in packed(s.get(1, b""))
                     for f in self.locations[loc]]
            self.samples.append((stack, dict(zip(self.types, values))))

    def of(self, function):
        return [(s, v) for s, v in self.samples
                if any(f[0] == function for f in s)]


class Heap(unittest.TestCase):
    def profile(self, *args, **env):
        r = gostat("heap", *args, text=False, **env)
        self.assertEqual((r.returncode, r.stderr), (0, b""))
        return Profile(r.stdout)

    def test_names(self):
        with Holder() as h:
            p = self.profile(h.pid)
        self.assertEqual(p.types, ["alloc_objects", "alloc_space",
                                   "inuse_objects", "inuse_space"])
        held = p.of("hold")
        self.assertEqual(sum(v["inuse_objects"] for _, v in held), 7)
        stack = held[0][0]
        names = [f[0] for f in stack]
        at = names.index("take")
        self.assertEqual(names[at:at + 3], ["take", "hold", "main"])
        for function, line in ("take", "malloc(SIZE)"), ("hold", "take()"), \
                ("main", "hold(n++)"):
            f = stack[names.index(function)]
            with open(f[1]) as source:
                self.assertIn(line, source.read().splitlines()[f[2] - 1])
        self.assertTrue(p.mappings[0][7])

    def test_other_reader(self):
        if not shutil.which("go"):
            self.skipTest("no go")
        with Holder() as h:
            r = gostat("heap", h.pid, "-o", "heap.pb.gz")
            self.assertEqual((r.returncode, r.stdout, r.stderr), (0, "", ""))
        r = subprocess.run(["go", "tool", "pprof", "-top", "-sample_index="
                            "inuse_objects", "heap.pb.gz"], text=True,
                           capture_output=True, check=True,
                           env={**ENV, "HOME": os.getcwd()})
        self.assertRegex(r.stdout, r"\n +7 .* take \(inline\)\n")

    def test_allocs(self):
        with Holder() as h:
            self.assertEqual(self.profile(h.pid).default, "")
            self.assertEqual(self.profile("--allocs", h.pid).default,
                             "alloc_space")

    def test_difference(self):
        # What came before the beginning or after the end is not in it: on a
        # busy machine a second may be over before the command has asked.
        for seconds in 3, 10, 30:
            with Holder() as h:
                t = threading.Timer(seconds / 3, h.more)
                t.start()
                p = self.profile(h.pid, "--seconds", seconds)
                t.join()
            held = [v for _, v in p.of("hold") if v["inuse_objects"]]
            if held:
                break
        self.assertEqual([v["inuse_objects"] for v in held], [1])

    def test_files(self):
        with Holder() as h:
            os.makedirs("full", exist_ok=True)
            r = gostat("heap", h.pid, "-o", "/dev/full")
            self.assertEqual(r.returncode, 2)
            self.assertIn("No space left", r.stderr)
            r = gostat("heap", h.pid, "-o", "nowhere/x")
            self.assertEqual(r.returncode, 2)
            self.assertIn("No such file", r.stderr)
            r = gostat("heap", h.pid, "-o", "full")
            self.assertEqual(r.returncode, 2)
        self.assertEqual(os.listdir("full"), [])
        self.assertFalse([f for f in os.listdir() if f.startswith("full.")])


class Trace(unittest.TestCase):
    def test_formats(self):
        with Holder() as h:
            go = gostat("trace", h.pid, "--seconds", 1, text=False)
            self.assertEqual((go.returncode, go.stderr), (0, b""))
            self.assertTrue(go.stdout.startswith(b"go 1.19 trace\0\0\0"))
            r = gostat("trace", h.pid, "--seconds=1", "--format=perfetto",
                       "-o", "trace.json")
            self.assertEqual((r.returncode, r.stdout, r.stderr), (0, "", ""))
            with open("trace.json") as f:
                events = json.load(f)["traceEvents"]
            self.assertTrue([e for e in events if e.get("tid") == h.pid])
            r = gostat("trace", h.pid, "--format=jpeg")
            self.assertEqual(r.returncode, 2)
            r = gostat("trace", h.pid, "--seconds=0")
            self.assertEqual(r.returncode, 2)


class Ask(unittest.TestCase):
    def test_stats(self):
        with Holder() as h:
            r = gostat("stats", h.pid)
            self.assertRegex(r.stdout, r"^gostat: MemStats of tools_holder \(pid "
                             rf"{h.pid}\)\nAlloc = \d+\n")
            m = json.loads(gostat("stats", "--json", h.pid).stdout)
            self.assertEqual(m["Alloc"], m["HeapAlloc"])
            self.assertGreater(m["HeapAlloc"], 35000)

    def test_watch(self):
        with Holder() as h:
            p = subprocess.Popen([GOSTAT, "stats", "-w1", str(h.pid)],
                                 env=ENV, stdout=subprocess.PIPE, text=True)
            seen = 0
            while seen < 2:
                seen += p.stdout.readline().startswith("gostat: MemStats")
            # The process ends between two answers, not in the middle of one.
            stop_in_sleep(p)
        p.send_signal(signal.SIGCONT)
        p.communicate(timeout=300)
        self.assertEqual(p.returncode, 0)

    def test_free(self):
        with Holder() as h:
            self.assertIn("HeapReleased = ", gostat("free", h.pid).stdout)

    def test_list(self):
        with Holder() as h:
            with Holder(GOSTAT_SOCKET="off") as quiet:
                rows = {p["pid"]: p for p in
                        json.loads(gostat("list", "--json").stdout)}
                self.assertTrue(rows[h.pid]["socket"].endswith(
                    f"/{h.pid}.sock"))
                self.assertEqual(rows[h.pid]["exe"], HOLDER)
                self.assertIsNone(rows[quiet.pid]["socket"])
                self.assertNotIn(os.getpid(), rows)
                text = gostat("list").stdout
                self.assertRegex(text, rf"\n *{h.pid} .*{HOLDER} .*sock")
                pids = gostat("list", "--pids").stdout.split()
                self.assertIn(str(quiet.pid), pids)

    def test_where_the_socket_is(self):
        here = os.getcwd()
        os.makedirs("run", mode=0o700, exist_ok=True)
        long = os.path.join(here, "d" * 60, "e" * 60)
        os.makedirs(long, exist_ok=True)
        for env in ({"XDG_RUNTIME_DIR": here + "/run"},
                    {"GOSTAT_SOCKET": here + "/a%p%%%e.sock"},
                    {"GOSTAT_SOCKET": "relative-%p"},
                    {"GOSTAT_SOCKET": here + "/b-%t-%n"},
                    {"GOSTAT_SOCKET": here + "/fixed[1]*"},
                    {"GOSTAT_SOCKET": long + "/%p.sock"}):
            with Holder(**env) as h:
                r = gostat("stats", h.pid)
                self.assertIn(f"(pid {h.pid})", r.stdout, (env, r.stderr))

    def test_who_cannot_be_asked(self):
        r = gostat("stats", 4194304)
        self.assertEqual((r.returncode, r.stdout), (2, ""))
        self.assertEqual(r.stderr, "gostat: 4194304: no such process\n")
        r = gostat("stats", os.getpid())
        self.assertEqual(r.returncode, 2)
        self.assertIn("does not run libgostat", r.stderr)
        with Holder(GOSTAT_SOCKET="off") as h:
            r = gostat("stats", h.pid)
            self.assertEqual(r.returncode, 2)
            self.assertIn("has no socket", r.stderr)
        with Holder() as h:
            h.p.send_signal(signal.SIGKILL)
            h.p.wait()
            self.assertEqual(gostat("stats", h.pid).returncode, 2)

    def false_server(self, answer, verb="stats"):
        """A program without the library that answers at the right place."""
        path = f"/tmp/gostat-{os.geteuid()}/{os.getpid()}.sock"
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        with socket.socket(socket.AF_UNIX) as s:
            if os.path.exists(path):
                os.unlink(path)  # of one before us that had our number
            s.bind(path)
            try:
                s.listen()

                def serve():
                    c, _ = s.accept()
                    with c:
                        c.recv(4096)
                        c.sendall(answer)
                t = threading.Thread(target=serve)
                t.start()
                r = gostat(verb, os.getpid(), text=False)
                t.join()
                return r
            finally:
                os.unlink(path)

    def test_answers(self):
        head = b"HTTP/1.1 200 OK\r\n"
        good = self.false_server(head + b"Content-Length: 3\r\n\r\nabc")
        self.assertEqual((good.returncode, good.stdout), (0, b"abc"))
        for bad in (b"", b"SSH-2.0-x\r\n", head, head + b"Content-Length: "
                    b"3\r\n\r\nab", b"HTTP/1.1 500 No\r\n\r\nwhy not\n"):
            r = self.false_server(bad)
            self.assertEqual((r.returncode, r.stdout), (2, b""), bad)
            self.assertTrue(r.stderr.startswith(b"gostat: "))
        self.assertIn(b"why not", r.stderr)

    def test_profiles_that_are_none(self):
        good = None
        with Holder() as h:
            good = gostat("heap", h.pid, text=False).stdout
        plain = gzip.decompress(good)

        def heap(body):
            return self.false_server(b"HTTP/1.1 200 OK\r\n\r\n" + body,
                                     "heap")
        self.assertEqual(heap(plain).returncode, 0)
        self.assertEqual(Profile(heap(good).stdout).types,
                         Profile(good).types)
        for bad in (b"", b"\x1f\x8b", good[:-9], good[:100], b"\xff" * 99,
                    plain[:-1], plain[2:], b"\x0a\x04\x08\x01\x10\x02",
                    b"\x0a\x04\x08\x01\x10\x02\x32\x00"):
            r = heap(bad)
            self.assertEqual((r.returncode, r.stdout), (2, b""), bad[:20])
            self.assertTrue(r.stderr.startswith(b"gostat: profile: "))


class Run(unittest.TestCase):
    def test_summary(self):
        r = gostat("run", HOLDER)
        self.assertEqual((r.returncode, r.stdout), (0, "ready\n"))
        self.assertRegex(r.stderr, r"holder \(\d+\) exit status 0 after ")
        self.assertRegex(r.stderr, r"gostat: heap \S+ KiB in \d+ objects")
        self.assertEqual(gostat("run", "-q", HOLDER).stderr, "")

    def test_statuses(self):
        for args, status in ((("sh", "-c", "exit 5"), 5),
                             (("--", "sh", "-c", "exit 6"), 6),
                             (("sh", "-c", "kill $$"), -15),
                             (("./nothing",), 127), (("/",), 126),
                             ((), 2), (("-o", "maxheap", "true"), 2),
                             (("-o", "maxhaep=1", "true"), 2)):
            r = gostat("run", *args)
            self.assertEqual(r.returncode, status, args)

    def test_variables(self):
        r = gostat("run", "-o", "maxheap=1GiB", "--option=GODEBUG=",
                   "-o", "stack-depth=7", "sh", "-c",
                   "echo $GOSTAT_MAXHEAP $GOSTAT_STACK_DEPTH $GOSTAT_SOCKET")
        self.assertEqual(r.stdout, "1GiB 7 auto\n")
        r = gostat("run", "-o", "maxhaep=1", "true")
        self.assertIn("did you mean GOSTAT_MAXHEAP?", r.stderr)

    def test_what_is_asked_for_at_exit_stays(self):
        r = gostat("run", "-o", "atexit=stats", HOLDER)
        self.assertIn("gostat: MemStats of tools_holder", r.stderr)
        self.assertNotIn("exit status", r.stderr)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
