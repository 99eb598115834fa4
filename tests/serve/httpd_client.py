# SPDX-License-Identifier: MIT
"""A program with a server, and a client for tests to ask it with.

APP, the program, is the first argument of whoever imports this.
"""
import os
import re
import socket
import subprocess
import sys
import tempfile
import time

APP = sys.argv[1]
SHARED_TEXT = 'text/plain; charset=utf-8'


class App:
    """One program with a server; obeys commands."""

    def __init__(self, template, **kw):
        self.p = subprocess.Popen(
            [APP, template], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, bufsize=1, **kw)
        self.path = self.p.stdout.readline().strip()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.p.poll() is None:
            self.p.kill()
        self.p.wait()
        err = '' if self.p.stderr.closed else self.p.stderr.read()
        self.p.stdin.close()
        self.p.stdout.close()
        self.p.stderr.close()
        # A sanitizer's report is a failure, however the program ended.
        assert not re.search('(ERROR|WARNING): .*Sanitizer', err), err

    def tell(self, *command):
        self.p.stdin.write(' '.join(map(str, command)) + '\n')
        self.p.stdin.flush()
        return self.p.stdout.readline().strip()

    def end(self, *command):
        """The last command; what the program wrote to stderr."""
        self.p.stdin.write(' '.join(command) + '\n')
        self.p.stdin.close()
        err = self.p.stderr.read()
        assert self.p.wait(300) == 0, err
        self.p.stdin = open(os.devnull, 'w')
        return err


def until(condition):
    """Wait for it: how long it takes is the machine's affair."""
    deadline = time.time() + 200
    while not condition():
        assert time.time() < deadline
        time.sleep(0.05)


def connect(path):
    s = socket.socket(socket.AF_UNIX)
    s.connect(path)  # waits while the queue is full
    s.settimeout(300)
    return s


def read_all(s):
    data = b''
    while True:
        part = s.recv(65536)
        if not part:
            return data
        data += part


class Answer:
    def __init__(self, data, head_only=False):
        head, self.body = data.split(b'\r\n\r\n', 1)
        lines = head.decode().split('\r\n')
        version, status, self.reason = lines[0].split(' ', 2)
        assert version == 'HTTP/1.1'
        self.status = int(status)
        self.headers = dict(x.split(': ', 1) for x in lines[1:])
        length = int(self.headers['Content-Length'])
        assert len(self.body) == (0 if head_only else length)
        assert self.headers['Connection'] == 'close'

    def text(self):
        return self.body.decode()


def ask(path, request, body=b'', **headers):
    """A whole request in one piece: 'GET /x'."""
    s = connect(path)
    if body:
        headers['Content-Length'] = len(body)
    head = f'{request} HTTP/1.1\r\nHost: gostat\r\n' + ''.join(
        f'{k.replace("_", "-")}: {v}\r\n' for k, v in headers.items())
    s.sendall(head.encode() + b'\r\n' + body)
    data = read_all(s)
    s.close()
    return Answer(data, request.startswith('HEAD'))


def get(path, target, **headers):
    return ask(path, 'GET ' + target, **headers)


def one_line(answer, status):
    assert answer.status == status, (answer.status, answer.body)
    assert answer.body.endswith(b'\n') and answer.body.count(b'\n') == 1
    assert answer.headers['Content-Type'] == SHARED_TEXT
    return answer.text()


def run(tests):
    """Each test_* in a folder of its own; only those on the command line."""
    only = sys.argv[2:]
    for name, test in list(tests.items()):
        if name.startswith('test_') and (not only or name in only):
            print(name, flush=True)
            with tempfile.TemporaryDirectory() as tmp:
                test(tmp)
