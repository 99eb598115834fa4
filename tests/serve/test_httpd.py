#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What the server in a program answers to good, slow and rude clients.

    test_httpd.py HTTPD_APP [TEST...]
"""
import gzip
import json
import os
import re
import shutil
import socket
import subprocess
import threading
import time
from pathlib import Path

from httpd_client import (
    APP, SHARED_TEXT, Answer, App, ask, connect, get, one_line, read_all,
    run, until)


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
        assert time.time() - start >= 1
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
        start = time.time()
        a = get(p, '/debug/pprof/trace?seconds=2')
        most = 1 + (time.time() - start) * 1000
        assert a.status == 200 and a.body.startswith(b'go 1.19 trace\0\0\0')
        assert a.headers['Content-Type'] == 'application/octet-stream'
        if shutil.which('go'):
            Path(f'{tmp}/t').write_bytes(a.body)
            r = subprocess.run(['go', 'tool', 'trace', '-d', f'{tmp}/t'],
                               capture_output=True, text=True)
            assert r.returncode == 0, r.stderr
            assert 10 < r.stdout.count('GCStart') <= most
            assert r.stdout.count('GCStart') == r.stdout.count('GCDone')
        a = get(p, '/debug/pprof/trace?seconds=1&format=perfetto')
        assert a.headers['Content-Disposition'].endswith('"trace.json"')
        assert any(e.get('name') == 'GC'
                   for e in json.loads(a.body)['traceEvents'])
        # One at a time; a client that leaves ends its trace.
        while True:
            first = connect(p)
            first.sendall(b'GET /debug/pprof/trace?seconds=60 HTTP/1.1\r\n\r\n')
            # Whose request is read first is up to the server.
            if get(p, '/debug/pprof/trace?seconds=0.1').status == 409:
                break
            first.close()
        one_line(get(p, '/debug/pprof/trace?seconds=1'), 409)
        assert get(p, '/metrics').status == 200
        first.close()
        until(lambda: get(p, '/debug/pprof/trace?seconds=0.1').status == 200)
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

        def held():
            return int(app.tell('mem')), int(app.tell('fds'))
        before = None
        while before != (now := held()):
            before = now
            time.sleep(1.2)
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
        until(lambda: all(a <= b for a, b in zip(held(), before)))
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
        start = time.time()
        silent, half, reader = (connect(app.path) for _ in range(3))
        half.sendall(b'GET / HTTP/1.1\r\n')
        app.tell('large')
        reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        reader.sendall(b'GET /debug/pprof/heap HTTP/1.1\r\n\r\n')
        one_line(Answer(read_all(half)), 408)
        assert time.time() - start > 9.5
        one_line(Answer(read_all(silent)), 408)
        # Nothing was read for as long: the rest of the answer is lost.
        until(lambda: int(app.tell('fds')) <= 6)
        assert len(read_all(reader)) < 4000000


def test_many(tmp):
    """64 at once, and more who wait for their turn."""
    with App(f'{tmp}/%p.sock') as app:
        idle = [connect(app.path) for _ in range(64)]
        until(lambda: int(app.tell('fds')) >= 3 + 64)
        late = connect(app.path)
        late.sendall(b'GET / HTTP/1.1\r\n\r\n')
        late.settimeout(0.5)
        try:
            late.recv(1)
            raise AssertionError('a 65th connection was served')
        except TimeoutError:
            pass
        idle[17].close()
        late.settimeout(300)
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


run(globals())
