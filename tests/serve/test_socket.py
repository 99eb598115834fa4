#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The server's socket: its name, its users, and its life in the process.

    test_socket.py HTTPD_APP [TEST...]
"""
import os
import re
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

from httpd_client import (
    Answer, App, connect, get, one_line, read_all, run, until)


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
        idle.settimeout(300)
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
        # Taken, and moved to where they are out of the way; with them are
        # the listener and the helper's pair.
        until(lambda: len([f for f in os.listdir(f'/proc/{app.p.pid}/fd')
                           if int(f) >= 512]) == 13)
        until(lambda: app.tell('lowest') == '3')
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
        deadline = time.time() + 200
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
        deadline = time.time() + 200
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


run(globals())
