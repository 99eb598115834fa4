#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
quiet: with no variable set, the library is there and does nothing.

	quiet.py LIBRARY

Traces a plain and a preloaded run of a few small programs and looks for what
the library must not do unasked: threads, descriptors, files, sockets, output,
children, signals. Exit status: 0 nothing found, 1 something, 77 no strace.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile

ENV = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}
PROGRAMS = (["/bin/true"], ["/bin/ls", "/"], ["/usr/bin/seq", "3000"],
            ["/bin/sh", "-c", "ls / | wc -l; echo $(exit 3)"])

# What is opened, started or sent: each of these must come from the program.
NOISY = {
    "open", "openat", "openat2", "creat", "socket",
    "socketpair", "connect", "bind", "pipe", "pipe2", "dup", "dup2", "dup3",
    "eventfd2", "timerfd_create", "signalfd4", "epoll_create1", "inotify_init1",
    "memfd_create", "userfaultfd", "perf_event_open", "io_uring_setup", "bpf",
    "fork", "vfork", "clone", "clone3", "execve", "kill", "tkill", "tgkill",
    "write", "writev", "pwrite64", "sendto", "sendmsg", "unlink", "mkdir",
    "setitimer", "timer_create", "alarm", "rt_sigprocmask", "sigaltstack",
    "personality", "sched_setaffinity", "setrlimit", "umask", "chdir",
}
problems = []


def expect(what, ok):
    """Note a thing that should be so."""
    if not ok:
        problems.append(what)


def run(command, lib=None, **more):
    """Run a command with a small environment, preloaded if lib is given."""
    env = dict(ENV, LD_PRELOAD=lib) if lib else ENV
    return subprocess.run(command, env=env, stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=600, **more)


def calls(command, lib=None):
    """Noisy system calls of a traced run, the loader's opens left out."""
    # The tracee alone is preloaded: -E puts the variable in its environment.
    # One file for each process: no call is cut in two by another's. Samples
    # must be as quiet as the rest; at the default rate there may be none.
    preload = ["-E", f"LD_PRELOAD={lib or ''}",
               "-E", "GOSTAT_PROFILE_RATE=2000"]
    with tempfile.TemporaryDirectory(prefix="gq-") as folder:
        subprocess.run(["strace", "-ff", "-qq", "-o", f"{folder}/log",
                        *preload, *command], env=ENV, check=False,
                       stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                       timeout=600)
        lines = []
        for name in os.listdir(folder):
            with open(f"{folder}/{name}", encoding="utf-8",
                      errors="replace") as f:
                lines += f.readlines()
    found = []
    for line in lines:
        m = re.match(r"(\w+)\((.*)\) += ", line)
        if not m or m[1] not in NOISY:
            continue
        if m[1].startswith("open") and re.search(
                r'"[^"]*\.so[.0-9]*"|/ld\.so\.(cache|preload)"', m[2]):
            continue  # the loader's own
        args = re.sub(r"0x[0-9a-f]+|\b\d{3,}\b", "N", m[2])
        found.append(f"{m[1]}({args})")
    return sorted(found)


def main(lib):
    """Look at everything; returns the exit status."""
    lib = os.path.abspath(lib)
    maps = run(["/bin/cat", "/proc/self/maps"], lib)
    expect("the library is mapped", os.path.basename(lib) in maps.stdout)
    tasks = run(["/bin/ls", "/proc/self/task"], lib)
    expect(f"one thread: {tasks.stdout}", len(tasks.stdout.split()) == 1)

    # One process that looks at itself: a shell has pipes come and go.
    look = ["/usr/bin/find", "/proc/self/fd", "-mindepth", "1",
            "-printf", "%f %y\\n"]
    plain, ours = run(look), run(look, lib)
    expect(f"the same descriptors: {plain.stdout!r}, {ours.stdout!r}",
           plain.stdout == ours.stdout)

    for command in PROGRAMS:
        plain, ours = run(command), run(command, lib)
        expect(f"{command}: the same output: {ours.stderr!r}",
               (plain.stdout, plain.stderr, plain.returncode) ==
               (ours.stdout, ours.stderr, ours.returncode))
        a, b = calls(command), calls(command, lib)
        expect(f"{command}: a trace", a)
        for c in b:
            if c in a:
                a.remove(c)
            else:
                problems.append(f"{command}: only preloaded: {c}")
        for c in a:
            problems.append(f"{command}: only plain: {c}")
    for p in problems:
        print(f"quiet: not so: {p}")
    print(f"quiet: {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    if len(sys.argv) != 2:
        print(__doc__.strip(), file=sys.stderr)
        sys.exit(2)
    if not shutil.which("strace") or subprocess.run(
            ["strace", "-o", "/dev/null", "true"], check=False).returncode:
        print("quiet: skipped: strace is missing or not permitted")
        sys.exit(77)
    sys.exit(main(sys.argv[1]))
