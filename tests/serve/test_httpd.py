#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The server in a program, seen by good, slow, rude and foreign clients.

    test_httpd.py HTTPD_APP
"""
import gzip
import json
import os
import re
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

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
        assert self.p.wait(10) == 0, err
        self.p.stdin = open(os.devnull, 'w')
        return err


def connect(path):
    s = socket.socket(socket.AF_UNIX)
    s.connect(path)  # waits while the queue is full
    s.settimeout(30)
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


def parse_memstats(text):
    return dict(re.findall(r'^(\w+) = (.*)$', text, re.M))


# -- what is served -------------------------------------------------------

def test_routes(tmp):
    with App(f'{tmp}/%p.sock') as app:
        p = app.path
        assert p == f'{tmp}/{app.p.pid}.sock'
        index = get(p, '/').text()
        assert f'pid {app.p.pid}' in index and '/metrics' in index

        text = get(p, '/memstats').text()
        m = parse_memstats(text)
        assert m['Alloc'] == m['HeapAlloc'] and int(m['Sys']) > 0
        assert parse_memstats(get(p, '/memstats?format=text').text()
                              ).keys() == m.keys()
        a = get(p, '/memstats?format=json')
        assert a.headers['Content-Type'].startswith('application/json')
        j = json.loads(a.body)
        assert len(j['BySize']) == 61 and len(j['PauseNs']) == 256
        one_line(get(p, '/memstats?format=xml'), 400)

        v = json.loads(get(p, '/debug/vars').body)
        assert v['cmdline'] == [APP, f'{tmp}/%p.sock']
        assert v['memstats'].keys() == j.keys()

        a = get(p, '/metrics')
        assert a.headers['Content-Type'] == \
            'text/plain; version=0.0.4; charset=utf-8'
        assert '\nprocess_open_fds ' in a.text()
        a = get(p, '/metrics', Accept='application/openmetrics-text')
        assert a.headers['Content-Type'].startswith(
            'application/openmetrics-text; version=1.0.0')
        assert a.text().endswith('# EOF\n')

        assert '<a href="heap?debug=1">heap</a>' in \
            get(p, '/debug/pprof/').text()
        a = get(p, '/debug/pprof')
        assert a.status == 301 and a.headers['Location'] == '/debug/pprof/'
        assert get(p, '/debug/pprof/cmdline').body == \
            f'{APP}\0{tmp}/%p.sock'.encode()


def test_profiles(tmp):
    with App(f'{tmp}/%p.sock') as app:
        p = app.path
        a = get(p, '/debug/pprof/heap')
        assert a.headers['Content-Type'] == 'application/octet-stream'
        assert a.headers['Content-Disposition'] == \
            'attachment; filename="heap"'
        assert b'inuse_space' in gzip.decompress(a.body)
        a = get(p, '/debug/pprof/allocs')
        assert a.headers['Content-Disposition'].endswith('"allocs"')
        a = get(p, '/debug/pprof/heap?debug=1')
        assert a.headers['Content-Type'] == SHARED_TEXT
        lines = a.text().splitlines()
        assert lines[0] == 'heap profile: 4: 224 [8: 352] @ heap/2'
        assert '# runtime.MemStats' in lines and 'MAPPED_LIBRARIES:' in lines
        fields = [x.split(' = ')[0] for x in lines if ' = ' in x]
        # What Go prints, in its order.
        assert ' '.join(f[2:] for f in fields) == (
            'Alloc TotalAlloc Sys Lookups Mallocs Frees HeapAlloc HeapSys '
            'HeapIdle HeapInuse HeapReleased HeapObjects Stack MSpan MCache '
            'BuckHashSys GCSys OtherSys NextGC LastGC PauseNs PauseEnd NumGC '
            'NumForcedGC GCCPUFraction DebugGC MaxRSS')

        start = time.time()
        a = get(p, '/debug/pprof/heap?seconds=1&gc=1')
        assert 1 <= time.time() - start < 10
        assert a.headers['Content-Disposition'].endswith('"heap-delta"')
        # One block of 64 bytes more; the other bucket is not mentioned.
        delta = gzip.decompress(a.body)
        assert b'\x12\x04\x01\x40\x01\x40' in delta
        assert delta.count(b'\x12\x04') == 1
        for bad in ('seconds=0', 'seconds=x', 'seconds=', 'seconds=-1',
                    'seconds=1&debug=1', 'debug=x', 'gc=yes',
                    'seconds=99999999999999999999'):
            one_line(get(p, '/debug/pprof/heap?' + bad), 400)

        # gc=1 waits for the cycle; the server is not blocked meanwhile.
        assert 'outcome="completed",reason="forced"} 0' in \
            get(p, '/metrics').text()
        assert get(p, '/debug/pprof/heap?gc=1').status == 200
        assert 'outcome="completed",reason="forced"} 1' in \
            get(p, '/metrics').text()
        assert get(p, '/debug/pprof/allocs?gc=1').status == 200
        assert 'outcome="completed",reason="forced"} 1' in \
            get(p, '/metrics').text()


def test_trace(tmp):
    with App(f'{tmp}/%p.sock') as app:
        p = app.path
        app.tell('events')
        a = get(p, '/debug/pprof/trace?seconds=0.5')
        assert a.status == 200 and a.body.startswith(b'go 1.19 trace\0\0\0')
        assert a.headers['Content-Type'] == 'application/octet-stream'
        if shutil.which('go'):
            Path(f'{tmp}/t').write_bytes(a.body)
            r = subprocess.run(['go', 'tool', 'trace', '-d', f'{tmp}/t'],
                               capture_output=True, text=True)
            assert r.returncode == 0, r.stderr
            assert 10 < r.stdout.count('GCStart') <= 500
            assert r.stdout.count('GCStart') == r.stdout.count('GCDone')
        a = get(p, '/debug/pprof/trace?seconds=0.2&format=perfetto')
        assert a.headers['Content-Disposition'].endswith('"trace.json"')
        assert any(e.get('name') == 'GC'
                   for e in json.loads(a.body)['traceEvents'])
        # One at a time; a client that leaves ends its trace.
        first = connect(p)
        first.sendall(b'GET /debug/pprof/trace?seconds=60 HTTP/1.1\r\n\r\n')
        time.sleep(0.3)
        one_line(get(p, '/debug/pprof/trace?seconds=1'), 409)
        assert get(p, '/metrics').status == 200
        first.close()
        time.sleep(0.3)
        assert get(p, '/debug/pprof/trace?seconds=0.1').status == 200
        start = time.time()
        assert get(p, '/debug/pprof/trace').status == 200
        assert time.time() - start > 0.9
        for bad in ('seconds=0', 'seconds=x', 'seconds=', 'seconds=-1',
                    'seconds=1.5.5', 'seconds=99999999999999999999999',
                    'seconds=1&format=xml'):
            one_line(get(p, '/debug/pprof/trace?' + bad), 400)
        # A fork in the middle: the child has nothing to do with it.
        first = connect(p)
        first.sendall(b'GET /debug/pprof/trace?seconds=1 HTTP/1.1\r\n\r\n')
        time.sleep(0.2)
        word, pid, path = app.tell('fork').split()
        assert get(path, '/debug/pprof/trace?seconds=0.1').status == 200
        assert Answer(read_all(first)).status == 200
        os.kill(int(pid), 9)


def test_settings(tmp):
    with App(f'{tmp}/%p.sock') as app:
        p = app.path
        for path, steps in {
                '/gogc': [('200', '100'), ('off', '200'), ('50', 'off')],
                '/memlimit': [('1GiB', str(2**63 - 1)),
                              ('off', str(2**30)), ('1\n', str(2**63 - 1))],
                '/profilerate': [('0', '1'), ('524288\r\n', '0')]}.items():
            for value, old in steps:
                a = ask(p, 'PUT ' + path, value.encode())
                assert a.status == 200 and a.text() == old + '\n', a.body
            for bad in (b'', b'x', b'1 2', b'-', b'9' * 64, b'1\nx'):
                one_line(ask(p, 'PUT ' + path, bad), 400)
        assert get(p, '/metrics').text().count(
            'go_gc_gomemlimit_bytes 1\n') == 1
        a = ask(p, 'POST /freeosmemory')
        assert a.status == 200 and 'HeapReleased = ' in a.text()


def test_refusals(tmp):
    with App(f'{tmp}/%p.sock') as app:
        p = app.path
        assert '/nothing' in one_line(get(p, '/nothing'), 404)
        one_line(get(p, '/metrics/'), 404)
        a = ask(p, 'POST /metrics')
        assert a.headers['Allow'] == 'GET, HEAD'
        one_line(a, 405)
        a = get(p, '/freeosmemory')
        assert a.headers['Allow'] == 'POST'
        one_line(a, 405)
        one_line(get(p, '/gogc'), 405)
        one_line(ask(p, 'BREW /'), 405)
        one_line(get(p, '/%00'), 400)
        one_line(get(p, '/' + 'x' * 5000), 400)
        one_line(ask(p, 'PUT /gogc', b'1' * 65), 400)
        one_line(ask(p, 'PUT /gogc', Transfer_Encoding='chunked'), 400)
        a = ask(p, 'HEAD /metrics')
        assert a.status == 200 and int(a.headers['Content-Length']) > 10000
        assert ask(p, 'HEAD /nothing').status == 404


# -- clients --------------------------------------------------------------

def test_piecemeal(tmp):
    with App(f'{tmp}/%p.sock') as app:
        s = connect(app.path)
        for c in b'PUT /%67ogc HTTP/1.1\r\nContent-Length: 3\r\n\r\n17':
            s.send(bytes([c]))
            time.sleep(0.001)
        s.send(b'0')
        assert Answer(read_all(s)).text() == '100\n'
        assert ask(app.path, 'PUT /gogc', b'1').text() == '170\n'


def test_half_closed(tmp):
    with App(f'{tmp}/%p.sock') as app:
        s = connect(app.path)
        s.sendall(b'GET /metrics HTTP/1.1\r\n\r\n')
        s.shutdown(socket.SHUT_WR)
        assert Answer(read_all(s)).status == 200
        # Also while the answer is being waited for.
        s = connect(app.path)
        s.sendall(b'GET /debug/pprof/heap?seconds=1 HTTP/1.1\r\n\r\n')
        s.shutdown(socket.SHUT_WR)
        assert Answer(read_all(s)).status == 200
        # Half a request is refused, none at all is not answered.
        s = connect(app.path)
        s.sendall(b'GET /metrics HTT')
        s.shutdown(socket.SHUT_WR)
        one_line(Answer(read_all(s)), 400)
        s = connect(app.path)
        s.shutdown(socket.SHUT_WR)
        assert read_all(s) == b''


def test_rude(tmp):
    """Clients that leave at every stage, and junk."""
    with App(f'{tmp}/%p.sock') as app:
        app.tell('large')
        assert get(app.path, '/').status == 200
        time.sleep(1.2)
        before = app.tell('mem'), app.tell('fds')
        for i in range(20):
            connect(app.path).close()
            for request in (b'GET', b'GET / HTTP/1.1\r\n\r\n',
                            b'GET /debug/pprof/heap HTTP/1.1\r\n\r\n',
                            b'GET /debug/pprof/heap?seconds=9 HTTP/1.1'
                            b'\r\n\r\n', b'\x16\x03\x01', os.urandom(9000)):
                s = connect(app.path)
                try:
                    s.sendall(request)
                except BrokenPipeError:
                    pass
                if i % 2:
                    time.sleep(0.005)
                s.close()
        # A large request is refused in full sight: no reset, no lost line.
        for n in (5000, 200000):
            s = connect(app.path)
            s.sendall(b'GET / HTTP/1.1\r\nX: ' + b'x' * n)
            one_line(Answer(read_all(s)), 400)
            s.close()
        deadline = time.time() + 20
        while (app.tell('mem'), app.tell('fds')) != before:
            assert time.time() < deadline, (app.tell('mem'), before)
            time.sleep(0.1)
        assert get(app.path, '/').status == 200


def test_large_answer(tmp):
    """A slow reader gets all of it and holds nobody up."""
    with App(f'{tmp}/%p.sock') as app:
        app.tell('large')
        slow = connect(app.path)
        slow.sendall(b'GET /debug/pprof/heap HTTP/1.1\r\n\r\n')
        data = b''
        for _ in range(20):
            data += slow.recv(10000)
            assert get(app.path, '/').status == 200
        a = Answer(data + read_all(slow))
        assert len(gzip.decompress(a.body)) > 4000000


def test_timeouts(tmp):
    """Silent clients are told, after the time-out and not before."""
    with App(f'{tmp}/%p.sock') as app:
        silent, half, reader = (connect(app.path) for _ in range(3))
        start = time.time()
        half.sendall(b'GET / HTTP/1.1\r\n')
        app.tell('large')
        reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        reader.sendall(b'GET /debug/pprof/heap HTTP/1.1\r\n\r\n')
        one_line(Answer(read_all(half)), 408)
        assert 9.5 < time.time() - start < 20
        one_line(Answer(read_all(silent)), 408)
        # Nothing was read for as long: the rest of the answer is lost.
        deadline = time.time() + 20
        while int(app.tell('fds')) > 6 and time.time() < deadline:
            time.sleep(0.1)
        assert time.time() < deadline
        assert len(read_all(reader)) < 4000000


def test_many(tmp):
    """64 at once, and more who wait for their turn."""
    with App(f'{tmp}/%p.sock') as app:
        idle = [connect(app.path) for _ in range(64)]
        time.sleep(0.3)
        assert int(app.tell('fds')) >= 3 + 64
        late = connect(app.path)
        late.sendall(b'GET / HTTP/1.1\r\n\r\n')
        late.settimeout(0.5)
        try:
            late.recv(1)
            raise AssertionError('a 65th connection was served')
        except TimeoutError:
            pass
        idle[17].close()
        late.settimeout(30)
        assert Answer(read_all(late)).status == 200
        for s in idle:
            s.close()

        answers = []

        def hammer():
            for _ in range(20):
                answers.append(get(app.path, '/metrics').status)

        threads = [threading.Thread(target=hammer) for _ in range(30)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        assert answers == [200] * 600


def test_other_users(tmp):
    if os.getuid() != 0:
        return
    os.chmod(tmp, 0o755)
    client = ('import socket,sys;s=socket.socket(socket.AF_UNIX);'
              's.connect(sys.argv[1]);'
              's.sendall(b"GET /memstats HTTP/1.1\\r\\n\\r\\n");'
              'd=b""\n'
              'while True:\n'
              ' p=s.recv(9999)\n'
              ' if not p: break\n'
              ' d+=p\n'
              'sys.stdout.buffer.write(d)')

    def as_nobody(path):
        return subprocess.run(
            ['setpriv', '--reuid=65534', '--clear-groups', sys.executable,
             '-c', client, path], capture_output=True)

    with App(f'{tmp}/%p.sock') as app:
        # The mode keeps them out ...
        r = as_nobody(app.path)
        assert r.returncode and b'PermissionError' in r.stderr
        # ... and so does their uid where it does not.
        os.chmod(app.path, 0o777)
        r = as_nobody(app.path)
        assert r.returncode == 0, r.stderr
        one_line(Answer(r.stdout), 403)
        # Once the program is nobody, nobody may ask; root always may.
        assert app.tell('setuid', 65534) == '0'
        assert Answer(as_nobody(app.path).stdout).status == 200
        assert get(app.path, '/memstats').status == 200


# -- the name -------------------------------------------------------------

def test_auto(tmp):
    env = dict(os.environ, XDG_RUNTIME_DIR=tmp)
    with App('auto', env=env) as app:
        assert app.path == f'{tmp}/gostat/{app.p.pid}.sock'
        st = os.stat(f'{tmp}/gostat')
        assert stat.S_IMODE(st.st_mode) == 0o700
        st = os.stat(app.path)
        assert stat.S_IMODE(st.st_mode) == 0o600 and stat.S_ISSOCK(st.st_mode)
        assert get(app.path, '/').status == 200
        path = app.path
        assert app.end('exit') == ''
        assert not os.path.exists(path)
    # A folder that was left open is made private.
    os.chmod(f'{tmp}/gostat', 0o755)
    with App('auto', env=env) as app:
        assert stat.S_IMODE(os.stat(f'{tmp}/gostat').st_mode) == 0o700
    # Not the user's runtime folder, or none: /tmp/gostat-UID.
    for env in ({}, {'XDG_RUNTIME_DIR': f'{tmp}/missing'},
                {'XDG_RUNTIME_DIR': 'relative'}):
        with App('auto', env=env) as app:
            assert app.path == \
                f'/tmp/gostat-{os.getuid()}/{app.p.pid}.sock'
            app.end('exit')
    if os.getuid() == 0:
        # Somebody else's folder is not used.
        os.makedirs(f'{tmp}/theirs/gostat')
        os.chown(f'{tmp}/theirs/gostat', 65534, 65534)
        with App('auto', env={'XDG_RUNTIME_DIR': f'{tmp}/theirs'}) as app:
            assert app.path.startswith('/tmp/gostat-0/')
            app.end('exit')
    # Nor a link to a folder of ours.
    os.mkdir(f'{tmp}/link')
    os.symlink(f'{tmp}/gostat', f'{tmp}/link/gostat')
    with App('auto', env={'XDG_RUNTIME_DIR': f'{tmp}/link'}) as app:
        assert app.path.startswith('/tmp/gostat-')
        app.end('exit')


def test_umask(tmp):
    for umask in (0, 0o777, 0o177, 0o077):
        with App(f'{tmp}/%p.sock', preexec_fn=lambda: os.umask(umask)) as app:
            assert stat.S_IMODE(os.stat(app.path).st_mode) == 0o600
            assert get(app.path, '/').status == 200


def test_no_socket(tmp):
    """One line on stderr each, and the program goes on."""
    Path(f'{tmp}/file').write_text('precious')
    cases = {
        f'{tmp}/missing/x.sock': 'no such folder',
        f'{tmp}/file/x.sock': 'a part of the path is no folder',
        f'{tmp}/file': 'exists and is no socket',
        '/proc/x.sock': None,
        f'{tmp}/' + 'n' * 200: 'path too long',
        f'{tmp}/' + 'n' * 300: 'path too long',
    }
    for template, why in cases.items():
        with App(template) as app:
            assert app.path == 'none'
            assert app.tell('lowest') == '3'
            err = app.end('exit')
            assert err.count('\n') == 1 and err.startswith(
                f'gostat: socket: {template}: '), err
            if why:
                assert err.endswith(why + '\n'), err
    assert Path(f'{tmp}/file').read_text() == 'precious'
    # A read-only folder refuses everybody but root.
    if os.getuid() == 0:
        os.chmod(tmp, 0o755)
        with App(f'{tmp}/x.sock', user=65534) as app:
            assert app.path == 'none'
            assert app.end('exit').endswith(': permission denied\n')


def test_long_path(tmp):
    deep = f'{tmp}/' + '/'.join('d' * 50 for _ in range(10))
    os.makedirs(deep)
    with App(f'{deep}/%p.sock') as app:
        assert app.path == f'{deep}/{app.p.pid}.sock'
        assert len(app.path) > 500
        fd = os.open(deep, os.O_PATH)
        assert get(f'/proc/self/fd/{fd}/{app.p.pid}.sock', '/').status == 200
        os.close(fd)
        assert app.tell('lowest') == '3'
        app.tell('stop')
        assert not os.path.exists(app.path)


def test_relative(tmp):
    with App('rel-%p.sock', cwd=tmp) as app:
        assert app.path == f'{tmp}/rel-{app.p.pid}.sock'
        assert get(app.path, '/').status == 200


def test_stale(tmp):
    path = f'{tmp}/one.sock'
    with App(path) as app:
        app.p.kill()
        app.p.wait()
        assert os.path.exists(path)
    with App(path) as app:
        assert app.path == path and get(path, '/').status == 200
        # Taken by the living: one line, and theirs is left alone.
        with App(path) as second:
            assert second.path == 'none'
            assert second.end('exit') == (
                f'gostat: socket: {path}: another process listens there\n')
        assert get(path, '/').status == 200
        # Somebody replaced the name: it is not ours to remove.
        os.unlink(path)
        Path(path).write_text('precious')
        app.end('exit')
        assert Path(path).read_text() == 'precious'


def test_inherited_name(tmp):
    """A program started by the one that has the name is not told off."""
    with App(f'{tmp}/one.sock') as app:
        assert app.tell('spawn') == '0'
        assert get(app.path, '/').status == 200
        assert app.end('exit') == 'none\n'  # its stdout


def test_stop_start(tmp):
    with App(f'{tmp}/%p.sock') as app:
        mem = app.tell('mem')
        idle = connect(app.path)
        time.sleep(0.2)
        path = app.path
        for _ in range(20):
            assert app.tell('stop') == 'ok'
            assert not os.path.exists(path)
            assert app.tell('start') == path
            assert get(path, '/').status == 200
        idle.settimeout(5)
        try:
            assert idle.recv(1) == b''
        except ConnectionResetError:
            pass
        app.tell('stop')
        assert app.tell('start') == path
        assert app.tell('mem') == mem


# -- the process ----------------------------------------------------------

def test_descriptors(tmp):
    """The program's own numbers are what they would be without us."""
    with App(f'{tmp}/%p.sock') as app:
        assert app.tell('lowest') == '3'
        idle = [connect(app.path) for _ in range(10)]
        time.sleep(0.2)
        assert app.tell('lowest') == '3'
        fds = [int(f) for f in os.listdir(f'/proc/{app.p.pid}/fd')]
        assert all(f < 3 or f >= 512 for f in fds), fds
        for f in fds:
            if f > 2:
                info = Path(f'/proc/{app.p.pid}/fdinfo/{f}').read_text()
                flags = int(re.search(r'flags:\s+(\d+)', info)[1], 8)
                assert flags & os.O_CLOEXEC
        for s in idle:
            s.close()


def test_small_limit(tmp):
    import resource

    def limit():
        resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))

    with App(f'{tmp}/%p.sock', preexec_fn=limit) as app:
        assert app.tell('lowest') == '3'
        idle = [connect(app.path) for _ in range(60)]
        time.sleep(1)
        # Out of descriptors: no spinning, and it recovers.
        cpu = sum(map(int, Path(f'/proc/{app.p.pid}/stat').read_text()
                      .rsplit(')', 1)[1].split()[11:13]))
        time.sleep(1)
        cpu = sum(map(int, Path(f'/proc/{app.p.pid}/stat').read_text()
                      .rsplit(')', 1)[1].split()[11:13])) - cpu
        assert cpu < 30, cpu
        for s in idle:
            s.close()
        assert get(app.path, '/').status == 200


def test_closes_all(tmp):
    """A program that closes every descriptor and opens its own."""
    with App(f'{tmp}/%p.sock') as app:
        idle = [connect(app.path) for _ in range(5)]
        waiting = connect(app.path)
        waiting.sendall(b'GET /debug/pprof/heap?seconds=1 HTTP/1.1\r\n\r\n')
        time.sleep(0.2)
        assert app.tell('closeall') == 'ok'
        assert app.tell('pipes') == 'ok'
        deadline = time.time() + 20
        while True:
            try:
                assert get(app.path, '/').status == 200
                break
            except (ConnectionError, ValueError, TimeoutError):
                assert time.time() < deadline
                time.sleep(0.1)
        assert app.tell('check') == 'ok'
        for s in idle + [waiting]:
            s.close()
        time.sleep(2)
        assert app.tell('check') == 'ok'
        assert get(app.path, '/').status == 200


def test_fork(tmp):
    with App(f'{tmp}/%p.sock') as app:
        parent = app.path
        idle = connect(parent)
        waiting = connect(parent)
        waiting.sendall(b'GET /debug/pprof/heap?seconds=2 HTTP/1.1\r\n\r\n')
        time.sleep(0.3)
        word, pid, path = app.tell('fork').split()
        assert word == 'child' and path == f'{tmp}/{pid}.sock'
        # Both serve, each itself.
        assert f'pid {pid}' in get(path, '/').text()
        assert f'pid {app.p.pid}' in get(parent, '/').text()
        # The child holds nothing of the parent's: it has a listener and the
        # helper's pair, once the connection of just now is closed.
        deadline = time.time() + 10
        while True:
            links = [os.readlink(f'/proc/{pid}/fd/{f}')
                     for f in os.listdir(f'/proc/{pid}/fd')]
            if len([x for x in links if x.startswith('socket:')]) == 3:
                break
            assert time.time() < deadline, links
            time.sleep(0.05)
        assert Answer(read_all(waiting)).status == 200
        idle.sendall(b'GET / HTTP/1.1\r\n\r\n')
        assert Answer(read_all(idle)).status == 200
        os.kill(int(pid), 9)


def test_fork_one_name(tmp):
    """Without %p the name stays the parent's."""
    path = f'{tmp}/one.sock'
    with App(path) as app:
        word, pid, served = app.tell('fork').split()
        assert served == 'none'
        assert f'pid {app.p.pid}' in get(path, '/').text()
        os.kill(int(pid), 9)
        assert os.path.exists(path)


def test_fork_under_load(tmp):
    with App(f'{tmp}/%p.sock') as app:
        stop = threading.Event()
        errors = []

        def hammer():
            while not stop.is_set():
                try:
                    assert get(app.path, '/metrics').status == 200
                    assert get(app.path, '/debug/pprof/heap').status == 200
                except Exception as e:
                    errors.append(e)

        threads = [threading.Thread(target=hammer) for _ in range(4)]
        for t in threads:
            t.start()
        try:
            for _ in range(40):
                word, pid, path = app.tell('fork').split()
                assert word == 'child'
                assert f'pid {pid}' in get(path, '/').text()
                low = [f for f in os.listdir(f'/proc/{pid}/fd')
                       if 2 < int(f) < 512]
                os.kill(int(pid), 9)
                assert not low, low
        finally:
            stop.set()
            for t in threads:
                t.join()
        assert not errors, errors


def test_chroot(tmp):
    if os.getuid() != 0:
        return
    os.mkdir(f'{tmp}/jail')
    with App(f'{tmp}/%p.sock') as app:
        assert app.tell('chroot', f'{tmp}/jail') == '0'
        # Nothing of ours leads out, and the socket goes on.
        for f in os.listdir(f'/proc/{app.p.pid}/fd'):
            assert not os.path.isdir(f'/proc/{app.p.pid}/fd/{f}')
        assert get(app.path, '/').status == 200
        assert get(app.path, '/metrics').status == 200
        app.end('exit')


def main():
    only = sys.argv[2:]
    for name, test in list(globals().items()):
        if name.startswith('test_') and (not only or name in only):
            print(name, flush=True)
            with tempfile.TemporaryDirectory() as tmp:
                test(tmp)


main()
