#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Stacks of all threads over the socket, and by gostat_stack().

    test_threads.py LIBGOSTAT THREADS_APP THREADS_LIB PROFILE.PROTO

The programs are asked again and again while they work; they must not notice.
"""
import gzip
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

LIB, APP, PLUGIN, PROTO = sys.argv[1:]


def ask(path, what):
    """Status and body of an answer."""
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(300)
        s.connect(str(path))
        s.sendall(f'GET {what} HTTP/1.0\r\n\r\n'.encode())
        data = b''
        while part := s.recv(1 << 16):
            data += part
    head, body = data.split(b'\r\n\r\n', 1)
    return int(head.split()[1]), body


def goroutines(text):
    """{tid: (state, name, [functions], creator's function)}, as it stands."""
    found = {}
    for part in text.strip().split('\n\n'):
        lines = part.split('\n')
        m = re.fullmatch(r'goroutine (\d+) \[([^],"]+)(?:, "([^"\]]*)")?\]:',
                         lines[0])
        assert m, lines[0]
        functions, creator, at = [], None, 1
        while at < len(lines):
            line = lines[at]
            if line.startswith('...') or line.startswith('\t'):
                at += 1
                continue
            c = re.fullmatch(r'created by (\S+) in goroutine (\d+)', line)
            f = re.fullmatch(r'(\S+)\(\.\.\.\)', line)
            assert c or f, line
            assert re.fullmatch(r'\t.+:0x[0-9a-f]+( \+0x[0-9a-f]+)?',
                                lines[at + 1]), lines[at + 1]
            if c:
                creator = c[1]
            else:
                functions.append(f[1])
            at += 2
        found[int(m[1])] = (m[2], m[3], functions, creator)
    return found


class Program:
    """A program under the library, with a socket."""

    def __init__(self, folder, *cmd, **kw):
        self.path = Path(folder) / f'{len(os.listdir(folder))}.sock'
        env = dict(os.environ, LD_PRELOAD=LIB, GOSTAT_SOCKET=str(self.path))
        self.p = subprocess.Popen(cmd, env=env, stdin=subprocess.PIPE,
                                  stdout=subprocess.PIPE, text=True, **kw)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.p.kill()
        self.p.wait()

    def ready(self):
        assert self.p.stdout.readline() == 'ready\n'

    def settle(self, check):
        """On a busy machine threads take time to get where they wait."""
        for _ in range(600):
            try:
                return check(self.get('goroutine?debug=2').decode(),
                             self.p.pid)
            except AssertionError:
                time.sleep(0.1)
        check(self.get('goroutine?debug=2').decode(), self.p.pid)

    def get(self, what):
        status, body = ask(self.path, '/debug/pprof/' + what)
        assert status == 200, (what, status, body)
        return body


def check_text(text, pid):
    """Everybody is where he should be, called by whom he should be."""
    found = goroutines(text)
    assert len(found) == 15, text
    assert list(found) == sorted(found)
    by_name = {}
    for tid, g in found.items():
        by_name.setdefault(g[1], []).append(g)
    assert found[pid][0] in ('IO wait', 'running'), found[pid]
    assert 'main' in found[pid][2] and found[pid][3] is None
    for name, fn, states in (
            ('sleeper', 'sleeps', {'sleep'}),
            ('pol??ler', 'polls', {'select'}),
            ('reader', 'reads', {'IO wait'}),
            ('waiter', 'waits', {'futex'}),
            ('spinner', 'spins', {'running', 'runnable'}),
            ('napper', 'naps', None),
            ('allocator', 'allocates', None),
            ('refuser', None, {'futex'}),
            ('loader', 'threads_lib_loads', {'sleep'})):
        for state, _, functions, creator in by_name[name]:
            assert creator == 'starts', (name, creator)
            assert not states or state in states, (name, state)
            # Where ptrace is refused, nothing is known of it.
            assert not fn and not functions or (fn or 'refuses') in functions, \
                (name, functions)
    assert 'loads' in by_name['loader'][0][2]
    assert len(by_name['waiter']) == 5
    assert [g for g in found.values() if g[3] == 'start_all'
            and 'of_c11' in g[2] and 'sleeps' in g[2]]


def check_grouped(text):
    total = re.match(r'goroutine profile: total (\d+)\n', text)
    counts = [int(n) for n in re.findall(r'^(\d+) @(?: 0x[0-9a-f]+)+$', text,
                                         re.M)]
    assert int(total[1]) == sum(counts) == 15, text
    assert counts == sorted(counts, reverse=True) and counts[0] == 5, counts
    assert re.search(r'^# stopped for [1-9]\d+ ns$', text, re.M)
    first = text.split('\n\n')[0]
    assert first.count('"waiter"') == 5 and '\twaits+0x' in first, first


def check_binary(data, types):
    """By protoc, where it is installed; labels and counts."""
    if not shutil.which('protoc'):
        return None
    proto = Path(PROTO)
    r = subprocess.run(
        ['protoc', '--proto_path', str(proto.parent), '--decode=Profile',
         proto.name], input=gzip.decompress(data), capture_output=True,
        check=True)
    text = r.stdout.decode()
    strings = re.findall(r'^string_table: "(.*)"$', text, re.M)
    assert types in strings and 'count' in strings, strings
    values = [int(v) for v in re.findall(r'^  value: (\d+)$', text, re.M)]
    return values, strings


def check_app(folder):
    with Program(folder, APP, PLUGIN) as a:
        a.ready()
        a.settle(check_text)
        for i in range(100):
            text = a.get('goroutine?debug=2').decode()
            if i % 10 == 0:
                check_text(text, a.p.pid)
        check_grouped(a.get('goroutine?debug=1').decode())
        decoded = check_binary(a.get('goroutine'), 'goroutine')
        if decoded:
            assert decoded[0] == [1] * 15, decoded[0]
            for s in ('waiter', 'waits', 'futex', 'thread', 'state', 'tid'):
                assert s in decoded[1], (s, decoded[1])
        text = a.get('threadcreate?debug=1').decode()
        assert text.startswith('threadcreate profile: total 14\n'), text
        assert len(re.findall(r'^\d+ @', text, re.M)) == 10, text
        decoded = check_binary(a.get('threadcreate'), 'threadcreate')
        assert not decoded or sum(decoded[0]) == 14
        for bad in ('goroutine?debug=x', 'goroutine?seconds=1',
                    'threadcreate?debug=-1'):
            assert ask(a.path, '/debug/pprof/' + bad)[0] == 400, bad
        index = a.get('').decode()
        assert 'goroutine?debug=2' in index and 'threadcreate' in index
        # Nobody has noticed.
        out, _ = a.p.communicate()
        assert out == 'fine\n', out


def check_stack(preload):
    env = dict(os.environ)
    if preload:
        env['LD_PRELOAD'] = LIB
    out = subprocess.run([APP, 'stack'], env=env, capture_output=True,
                         text=True)
    assert out.returncode == 0, out
    mine, everybody, _ = out.stdout.split('--\n')
    mine = goroutines(mine)
    assert len(mine) == 1
    (tid, (state, name, functions, creator)), = mine.items()
    assert (state, name) == ('running', 'threads_app'), (state, name)
    assert functions[:2] == ['print_stack', 'main'] and not creator
    found = goroutines(everybody)
    assert list(found)[0] == tid and found[tid][2][:2] == functions[:2]
    assert [g for g in found.values() if 'waits' in g[2]], everybody


def check_interpreter(text, _=0):
    found = goroutines(text)
    assert len(found) == 5, text
    assert all(len(g[2]) > 3 for g in found.values()), text


def check_python(folder):
    """A program with an interpreter's deep stacks, busy in all threads."""
    code = '''
import hashlib, sys, threading, time
def deep(n):
    return deep(n - 1) if n else sorted(range(200), key=lambda x: -x)
def work():
    while True:
        deep(50)
        hashlib.sha256(b"x" * 100000).digest()
for i in range(4):
    threading.Thread(target=work, daemon=True).start()
print("ready", flush=True)
sys.stdin.read()
print("fine", flush=True)
'''
    with Program(folder, sys.executable, '-c', code) as a:
        a.ready()
        a.settle(check_interpreter)
        for _ in range(50):
            check_interpreter(a.get('goroutine?debug=2').decode())
        a.p.stdin.close()
        assert a.p.stdout.read() == 'fine\n'


def main():
    with tempfile.TemporaryDirectory() as folder:
        check_app(folder)
        check_stack(True)
        check_python(folder)


main()
