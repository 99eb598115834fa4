#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""gostat leakcheck, with reports that are made up (pretend.c), and with real
programs, of which is known whether they leak.

test_leakcheck.py GOSTAT PRETEND LEAKY; in a current folder of its own.
"""
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import unittest

GOSTAT, PRETEND, LEAKY = (os.path.abspath(p) for p in sys.argv[1:4])
ENV = {k: v for k, v in os.environ.items()
       if not k.startswith("GOSTAT") and k not in ("LSAN_OPTIONS",
                                                   "LD_PRELOAD")}


def gostat(*args, **env):
    return subprocess.run([GOSTAT, "leakcheck", *map(str, args)], text=True,
                          capture_output=True, env={**ENV, **env},
                          timeout=600)


def write(name, content):
    with open(name, "w") as f:
        f.write(content if isinstance(content, str) else json.dumps(content))
    return os.path.abspath(name)


def call_in(function):
    """(address, line) of an instruction of an inlined take(), or of the
    function itself."""
    text = subprocess.run(["objdump", "-d", "--no-show-raw-insn",
                           f"--disassemble={function}", LEAKY], text=True,
                          capture_output=True, check=True).stdout
    calls = re.findall(r"^\s+([0-9a-f]+):\s+(?:call|jmp)\s+\w+ <\w+", text,
                       re.M)
    return int(calls[0], 16)


def frame(function):
    return {"address": 0x7f0000000000 + call_in(function), "module": LEAKY,
            "build_id": "", "offset": call_in(function), "inlined": False}


def report(leaks, **more):
    return {"version": 1, "pid": "@PID@", "exe": LEAKY,
            "status": "leaks" if leaks else "clean", "reason": "",
            "leaks": leaks, "suppressed": {"objects": 2, "bytes": 20},
            "unused_suppressions": [],
            "live": {"objects": 9, "bytes": 99}, "heap": {"Alloc": 5}, **more}


def leak(kind, objects, size, *functions):
    return {"kind": kind, "objects": objects, "bytes": size,
            "fingerprint": "0", "stack": [frame(f) for f in functions]}


def brief(content):
    """The other shape: each frame once, leaks have their numbers."""
    frames = []
    leaks = []
    for k in content["leaks"]:
        for f in k["stack"]:
            if f not in frames:
                frames.append(f)
        numbers = " ".join(str(frames.index(f)) for f in k["stack"])
        leaks.append({"kind": k["kind"], "objects": k["objects"],
                      "bytes": k["bytes"], "frames": numbers})
    return {**content, "leaks": leaks, "frames": frames}


def save(name, content):
    return write(name, json.dumps(content).replace('"@PID@"', "@PID@"))


class Leakcheck(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.clean = save("clean", report([]))
        leaks = report([
            leak("indirect", 4, 4000, "list", "leak", "main"),
            leak("direct", 1, 32, "list", "leak", "main"),
            leak("direct", 2, 200, "keep", "leak", "main"),
            leak("direct", 1, 100, "keep", "leak", "main"),
            {"kind": "direct", "objects": 1, "bytes": 1, "fingerprint": "",
             "stack": []},
        ])
        cls.leaks = save("leaks", leaks)
        cls.brief = save("brief", brief(leaks))

    def setUp(self):
        # Nothing may be left behind.
        self.tmp = os.path.abspath("tmp")
        os.makedirs(self.tmp, exist_ok=True)
        ENV["TMPDIR"] = self.tmp

    def tearDown(self):
        self.assertEqual(os.listdir(self.tmp), [])

    def data(self, *args, status, **env):
        r = gostat("--json", *args, **env)
        self.assertEqual(r.returncode, status, r.stderr)
        self.assertEqual(r.stderr, "")
        return json.loads(r.stdout)

    def test_statuses(self):
        for args, status in [
                ((PRETEND, self.clean, 0), 0),
                ((PRETEND, self.clean, 7), 7),
                (("--", PRETEND, self.clean, 7), 7),
                ((PRETEND, self.leaks, 7), 23),
                (("--error-exitcode", 5, PRETEND, self.leaks, 7), 5),
                (("--error-exitcode=0", PRETEND, self.leaks, 7), 7),
                ((PRETEND, self.clean, 256 + signal.SIGTERM),
                 -signal.SIGTERM),
                ((PRETEND, self.leaks, 256 + signal.SIGSEGV), 23),
                ((PRETEND, "-", 0), 3),
                ((PRETEND, "-", 256 + signal.SIGKILL), 3),
                (("./nothing",), 3),
                (("nothing-of-this-name",), 3),
                (("--error-exitcode=256", PRETEND, self.clean, 0), 2),
                (("--format=xml", PRETEND, self.clean, 0), 2),
                (("--suppressions=./nowhere", PRETEND, self.clean, 0), 2),
                (("--output=/nowhere/x", PRETEND, self.clean, 0), 2),
                ((), 2)]:
            r = gostat(*args)
            self.assertEqual(r.returncode, status, (args, r.stderr))
            self.assertTrue(r.stderr)
            self.assertEqual(r.stdout, "")

    def test_brief(self):
        long, short = (self.data("--suppressions", write("rules", "leak:list"),
                                 PRETEND, f, 0, status=23)
                       for f in (self.leaks, self.brief))
        self.assertNotEqual(long["leaks"], [])
        for r in long, short:
            del r["pid"]
        self.assertEqual(long, short)

    def test_brief_that_is_wrong(self):
        for numbers in "1", "-1", "x", "0 9", "0,0", "99999999999999999999":
            wrong = report([{"kind": "direct", "objects": 1, "bytes": 1,
                             "frames": numbers}], frames=[frame("main")])
            r = self.data(PRETEND, save("wrong", wrong), 0, status=3)
            self.assertEqual(r["status"], "unchecked")

    def test_output_that_is_full(self):
        r = gostat("-o", "/dev/full", PRETEND, self.clean, 0)
        self.assertEqual(r.returncode, 2)
        self.assertIn("No space left", r.stderr)

    def test_json(self):
        r = self.data(PRETEND, self.leaks, 0, status=23)
        self.assertEqual(list(r), [
            "version", "pid", "exe", "status", "reason", "leaks",
            "suppressed", "unused_suppressions", "live", "heap"])
        self.assertEqual((r["version"], r["exe"], r["status"], r["reason"]),
                         (1, LEAKY, "leaks", ""))
        self.assertEqual(r["suppressed"], {"objects": 2, "bytes": 20})
        self.assertEqual(r["live"], {"objects": 9, "bytes": 99})
        self.assertEqual(r["heap"], {"Alloc": 5})
        self.assertEqual(
            [(k["kind"], k["objects"], k["bytes"]) for k in r["leaks"]],
            [("direct", 3, 300), ("direct", 1, 32), ("direct", 1, 1),
             ("indirect", 4, 4000)])
        top = r["leaks"][0]["stack"]
        self.assertEqual([f["function"] for f in top],
                         ["take", "keep", "leak", "main"])
        self.assertEqual([f["inlined"] for f in top],
                         [True, False, False, False])
        with open(top[0]["file"]) as f:
            lines = f.read().splitlines()
        self.assertIn("malloc(n)", lines[top[0]["line"] - 1])
        self.assertIn("take(n)", lines[top[1]["line"] - 1])
        self.assertEqual(list(top[0]), ["function", "file", "line", "module",
                                        "build_id", "offset", "inlined"])
        prints = [k["fingerprint"] for k in r["leaks"]]
        self.assertEqual(len(set(prints)), 3)  # list twice, of both kinds
        for p in prints:
            self.assertRegex(p, "^[0-9a-f]{16}$")
        self.assertEqual(prints, [
            k["fingerprint"] for k in
            self.data(PRETEND, self.leaks, 0, status=23)["leaks"]])

    def test_text(self):
        r = gostat(PRETEND, self.leaks, 0)
        self.assertRegex(r.stderr, r"==\d+==ERROR: gostat: detected memory")
        self.assertRegex(
            r.stderr,
            r"\n\nDirect leak of 300 byte\(s\) in 3 object\(s\) allocated "
            r"from:\n    #0 0x7f\w+ in take /\S+leaky.c:\d+\n"
            r"    #1 0x7f\w+ in keep /\S+leaky.c:\d+\n"
            r"    #2 0x7f\w+ in leak /\S+leaky.c:\d+\n"
            r"    #3 0x7f\w+ in main /\S+leaky.c:\d+\n\nDirect leak of 32 ")
        self.assertIn("\nIndirect leak of 4000 byte(s) in 4 object(s) ",
                      r.stderr)
        self.assertTrue(r.stderr.endswith("SUMMARY: gostat: 4333 byte(s) "
                                          "leaked in 9 allocation(s).\n"))
        self.assertNotIn("\033", r.stderr)
        self.assertIn("\033[", gostat("--color=always", PRETEND, self.leaks,
                                      0).stderr)

    def test_clean_text(self):
        r = gostat(PRETEND, self.clean, 0)
        self.assertRegex(r.stderr, r"^==\d+==gostat: no leaks; 9 object")

    def test_suppression(self):
        for pattern, left in [("take", 3), ("^take$", 3), ("leaky.c", 1),
                              ("*/leaky.c$", 1), ("^list", 2), ("l*t$", 2),
                              ("leaky", 1), ("^aky", 4), ("tak$", 4),
                              ("^ta*ke$", 3), ("main", 1), ("*", 1)]:
            f = write("rules", f"# a comment\n\n leak:{pattern}\r\n")
            r = self.data("--suppressions", f, PRETEND, self.leaks, 0,
                          status=23)
            self.assertEqual(len(r["leaks"]), left, pattern)
            self.assertEqual(r["unused_suppressions"],
                             [f"leak:{pattern}"] if left == 4 else [])
            r2 = self.data(PRETEND, self.leaks, 0, status=23,
                           GOSTAT_SUPPRESSIONS=f)
            self.assertEqual(r["leaks"], r2["leaks"])
            gone = sum(k["bytes"] for k in r["leaks"])
            self.assertEqual(r["suppressed"]["bytes"], 20 + 4333 - gone)

    def test_all_suppressed(self):
        only = save("only", report([leak("direct", 1, 32, "list", "main")]))
        f = write("rules", "leak:list\nleak:never\n")
        r = self.data("--suppressions", f, PRETEND, only, 0, status=0)
        self.assertEqual(r["status"], "clean")
        r = gostat("--suppressions", f, PRETEND, only, 0)
        self.assertEqual(r.returncode, 0)
        self.assertIn("      1         32 list\n", r.stderr)
        self.assertIn("Unused suppression: leak:never\n", r.stderr)
        self.assertNotIn("Unused suppression: leak:list\n", r.stderr)

    def test_wrong_suppression(self):
        f = write("rules", "leak:ok\nlaek:take\n")
        r = gostat("--suppressions", f, PRETEND, self.clean, 0)
        self.assertEqual(r.returncode, 2)
        self.assertIn("line 2", r.stderr)

    def test_lsan_suppressions(self):
        f = write("rules", "leak:take\nleak:else\n")
        seen = save("seen", report(
            [leak("direct", 1, 1, "list")],
            unused_suppressions=["leak:else", "leak:builtin"]))
        r = self.data(PRETEND, seen, 0, status=23,
                      LSAN_OPTIONS=f"exitcode=3:suppressions={f}")
        self.assertEqual(r["unused_suppressions"],
                         ["leak:else", "leak:builtin"])

    def test_reports_that_are_none(self):
        with open(self.leaks) as f:
            whole = f.read()
        for text in "", "{", whole[:300], "[]", '{"version":2}', \
                whole.replace('"indirect"', '"what"'), \
                whole.replace('"status": "leaks"', '"status": "fine"'):
            r = self.data(PRETEND, write("bad", text), 0, status=3)
            self.assertEqual(r["status"], "unchecked")
            self.assertIn("can't be read", r["reason"])

    def test_unchecked_by_the_library(self):
        f = save("un", report([], status="unchecked", reason="no memory"))
        r = self.data(PRETEND, f, 0, status=3)
        self.assertEqual((r["status"], r["reason"]),
                         ("unchecked", "no memory"))
        self.assertIn("not checked: no memory\n",
                      gostat(PRETEND, f, 0).stderr)

    def test_reasons(self):
        r = self.data(PRETEND, "-", 0, status=3)
        self.assertIn("statically linked", r["reason"])
        script = write("script", f"#! {PRETEND} -\n")
        os.chmod(script, 0o755)
        r = self.data(script, status=3)
        self.assertIn("statically linked", r["reason"])
        r = self.data("sh", "-c", "kill -KILL $$", status=3)
        self.assertIn("killed by signal 9", r["reason"])
        if os.getuid() == 0:
            shutil.copy("/bin/true", "su")
            os.chown("su", 1, 1)
            os.chmod("su", 0o4755)
            r = self.data("./su", status=3)
            self.assertIn("setuid", r["reason"])

    def test_output_file(self):
        r = gostat("--json", "-o", "out.json", PRETEND, self.leaks, 0)
        self.assertEqual((r.returncode, r.stdout, r.stderr), (23, "", ""))
        with open("out.json") as f:
            self.assertEqual(json.load(f)["status"], "leaks")

    def test_children(self):
        args = (PRETEND, self.clean, 4, self.leaks, 0, self.clean, 0)
        r = self.data(*args, status=4)
        self.assertEqual(r["status"], "clean")
        r = self.data("--follow", *args, status=23)
        self.assertEqual(sorted(p["status"] for p in r),
                         ["clean", "clean", "leaks"])
        self.assertEqual(len({p["pid"] for p in r}), 3)
        r = self.data("--follow", PRETEND, "-", 0, self.clean, 0, status=3)
        self.assertEqual(sorted(p["status"] for p in r),
                         ["clean", "unchecked"])

    def test_environment(self):
        show = ("sh", "-c", "echo $LD_PRELOAD $GOSTAT_LEAKCHECK "
                "$GOSTAT_LEAKCHECK_EXITCODE; exec " + PRETEND + " " +
                self.clean + " 0")
        path, word, code = gostat(*show).stdout.split()
        self.assertTrue(path.endswith("/libgostat.so"))
        self.assertEqual((word, code), ("exit", "0"))
        libc = "libc.so.6"
        r = gostat(*show, LD_PRELOAD=libc)
        self.assertEqual(r.stdout.split()[0], path + ":" + libc)

    def test_folder_that_the_loader_cannot_name(self):
        os.makedirs("a b:c", exist_ok=True)
        tool = shutil.copy(GOSTAT, "a b:c/gostat")
        lib = os.path.join(os.path.dirname(GOSTAT), "libgostat.so")
        shutil.copy(lib, "a b:c/libgostat.so")
        r = subprocess.run(
            [tool, "leakcheck", "sh", "-c",
             f"head -c 4 $LD_PRELOAD; exec {PRETEND} {self.clean} 0"],
            env=ENV, capture_output=True)
        self.assertEqual((r.returncode, r.stdout), (0, b"\x7fELF"))
        os.remove("a b:c/libgostat.so")
        r = subprocess.run([tool, "leakcheck", "true"], env=ENV, text=True,
                           capture_output=True)
        self.assertEqual(r.returncode, 3)
        self.assertIn("libgostat.so", r.stderr)

    def test_signals(self):
        for sig in signal.SIGTERM, signal.SIGINT, signal.SIGUSR1:
            p = subprocess.Popen(
                [GOSTAT, "leakcheck", "sh", "-c",
                 f"trap 'exec {PRETEND} {self.clean} 9' "
                 f"{sig.name[3:]}; echo ready; while :; do sleep 0.05; done"],
                env=ENV, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                text=True)
            self.assertEqual(p.stdout.readline(), "ready\n")
            p.send_signal(sig)
            p.communicate(timeout=300)
            self.assertEqual(p.returncode, 9)

    def test_ignored_signals_stay_ignored(self):
        r = subprocess.run(
            ["sh", "-c", "trap '' INT; exec \"$@\"", "sh", GOSTAT,
             "leakcheck", "sh", "-c",
             f"kill -INT $$; exec {PRETEND} {self.clean} 6"], env=ENV,
            capture_output=True)
        self.assertEqual(r.returncode, 6)


class Processes(unittest.TestCase):
    """The library's own reports."""

    def verdict(self, *args, status, **env):
        r = gostat("--json", *args, **env)
        self.assertEqual(r.returncode, status, r.stdout + r.stderr)
        return json.loads(r.stdout)

    def test_known_leaks(self):
        r = self.verdict(LEAKY, status=23)
        self.assertEqual((r["status"], r["exe"]), ("leaks", LEAKY))
        sums = {}
        for k in r["leaks"]:
            names = [f["function"] for f in k["stack"]]
            key = k["kind"], names[0], names[-1]
            o, b = sums.get(key, (0, 0))
            sums[key] = o + k["objects"], b + k["bytes"]
            self.assertIn("main", names)
        self.assertEqual(sums, {
            ("direct", "take", "_start"): (3, 300),
            ("direct", "list", "_start"): (1, 32),
            ("indirect", "list", "_start"): (4, 128)})
        self.assertEqual(r["leaks"][0]["stack"][0]["inlined"], True)

    def test_path_as_it_was_typed(self):
        name = os.path.relpath(LEAKY)
        r = gostat(name)
        self.assertRegex(r.stderr, r"in take /\S+leaky.c:\d+\n")

    def test_children_answer_for_themselves(self):
        r = self.verdict("--follow", LEAKY, 3, status=23)
        self.assertEqual(
            sorted(sum(k["bytes"] for k in p["leaks"]) for p in r),
            [460, 1000, 1000, 1000])

    def test_fingerprints_stay(self):
        prints = [[k["fingerprint"] for k in
                   self.verdict(LEAKY, status=23)["leaks"]] for _ in (1, 2)]
        self.assertEqual(*prints)

    def test_clean_programs(self):
        for *args, status in [
                ("true", 0), ("false", 1), ("sh", "-c", "exit 7", 7),
                ("bash", "-c", "x=$(echo a | cat); exec true", 0),
                (sys.executable, "-c", "import json, threading\n"
                 "t = threading.Thread(target=print)\nt.start()\nt.join()",
                 0),
                ("sqlite3", ":memory:", "create table t(a);"
                 "insert into t values (1); select * from t;", 0),
                ("git", "--version", 0), ("ls", "-l", "/", 0),
                ("lua5.4", "-e", "t = {}", 0),
                ("node", "-e", "JSON.parse('{}')", 0)]:
            if not shutil.which(args[0]):
                continue
            r = gostat(*args)
            self.assertEqual(r.returncode, status, (args, r.stderr))
            self.assertIn("gostat: no leaks;", r.stderr, args)

    def test_exec_of_what_cannot_be_checked(self):
        """The shell has nothing to hide, but what becomes of it may have."""
        for how, why in [
                (f"exec {PRETEND} - 0", "statically linked"),
                (f"exec env -i {LEAKY}", "it left no report"),
                ("exec env LD_PRELOAD= sh -c 'kill -KILL $$'", "signal 9")]:
            r = gostat("sh", "-c", how)
            self.assertIn(why, r.stderr)
            self.assertEqual(r.returncode, 3, r.stderr)
        # Not if it fails.
        r = gostat("sh", "-c", "(exec ./nowhere); exit 0")
        self.assertEqual(r.returncode, 0, r.stderr)

    def test_children_that_cannot_be_checked(self):
        """Whichever way they are made."""
        def python(code):
            return sys.executable, "-c", code

        run = f"import os, subprocess; a = [{PRETEND!r}, '-', '0']; "
        for args in [
                ("sh", "-c", f"{PRETEND} - 0; true"),
                ("sh", "-c", f"({PRETEND} - 0); true"),
                ("make", "-s", "-f", write("Makefile",
                                           f"all:\n\t@{PRETEND} - 0\n")),
                python(run + "subprocess.run(a)"),
                python(run + "subprocess.run(a, close_fds=False)"),
                python(run + "os.waitpid(os.posix_spawn(a[0], a, os.environ),"
                       " 0)"),
                python(run + "os.system(' '.join(a))")]:
            if not shutil.which(args[0]):
                continue
            r = gostat("--follow", *args)
            self.assertIn(f"leaks in {PRETEND} were not checked: {PRETEND} is "
                          "statically linked", r.stderr, args)
            self.assertEqual(r.returncode, 3, (args, r.stderr))
            # They are nobody's business otherwise.
            r = gostat(*args)
            self.assertEqual(r.returncode, 0, (args, r.stderr))
        # What is tried and not there is nothing that was not checked.
        r = gostat("--follow", *python(
            "import subprocess\n"
            "try: subprocess.run(['./nowhere'])\n"
            "except FileNotFoundError: pass\n"
            "subprocess.run(['true'])"))
        self.assertEqual(r.returncode, 0, r.stderr)

    def test_tree(self):
        r = gostat("--follow", "sh", "-c",
                   f"{LEAKY} & {LEAKY} & wait; (exec {PRETEND} - 0); true")
        self.assertEqual(r.returncode, 23, r.stderr)
        total = r.stderr[r.stderr.index("\nTOTAL: "):]
        self.assertIn(": 2 leaked, 1 not checked, ", total)
        self.assertIn(f"\n    2 of 2: 920 byte(s) in 16 allocation(s)  {LEAKY}"
                      "\n", total)
        self.assertIn(f"\n    1 of 1: not checked  {PRETEND}\n", total)
        self.assertIn(f"detected memory leaks in {LEAKY}\n", r.stderr)
        self.assertNotIn("no leaks in /", r.stderr)
        self.assertIn(f"leaks in {PRETEND} were not checked", r.stderr)

    def test_signals_are_the_programs(self):
        for name in "TERM", "INT", "SEGV", "ABRT", "HUP":
            r = self.verdict("sh", "-c", f"kill -{name} $$",
                             status=-getattr(signal, "SIG" + name))
            self.assertEqual(r["status"], "clean")

    def test_program_after_program(self):
        r = self.verdict("--follow", "sh", "-c",
                         f"exec sh -c 'exec {LEAKY}'", status=23)
        self.assertEqual([p["status"] for p in r],
                         ["clean", "clean", "leaks"])
        self.assertEqual(len({p["pid"] for p in r}), 1)

    def test_suppressions_by_the_library(self):
        write("lib-rules", "leak:^keep$\nleak:nothing_of_the_kind\n")
        r = self.verdict(LEAKY, status=23,
                         LSAN_OPTIONS="suppressions=lib-rules")
        self.assertEqual([k["stack"][0]["function"] for k in r["leaks"]],
                         ["list", "list"])
        self.assertEqual(r["suppressed"], {"objects": 3, "bytes": 300})
        self.assertIn("leak:nothing_of_the_kind", r["unused_suppressions"])

    def test_no_collector_no_verdict(self):
        r = self.verdict("true", status=3, GOSTAT_GC="off")
        self.assertEqual((r["status"], r["reason"]),
                         ("unchecked", "GOSTAT_GC=off"))


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
