#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A real Prometheus watches a program through a relay, as the docs say.

    test_prometheus.py LIBRARY SOURCE

The scrape job, the alerts and the dashboard are those of tools/dashboards; all
that differs is port and period. Every rule and every panel's expression must be
understood, and every name in them must be one that the program serves.
"""
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

LIBRARY, SOURCE = sys.argv[1], Path(sys.argv[2])
FILES = SOURCE / 'tools' / 'dashboards'
DEADLINE = 300  # seconds for anything to happen; usually two

PROGRAM = '''
import sys
keep = [bytearray(100000) for i in range(100)]
print("ready", flush=True)
sys.stdin.read()
'''


def free_ports(n):
    """Different ones: all are held until all are known."""
    held = [socket.create_server(('127.0.0.1', 0)) for _ in range(n)]
    ports = [s.getsockname()[1] for s in held]
    for s in held:
        s.close()
    return ports


def wait_for(what, condition):
    end = time.monotonic() + DEADLINE
    while time.monotonic() < end:
        got = condition()
        if got:
            return got
        time.sleep(0.1)
    raise AssertionError(what + ': nothing for %d s' % DEADLINE)


def get(url):
    try:
        with urllib.request.urlopen(url, timeout=30) as r:
            return r.read().decode()
    except urllib.error.HTTPError as e:
        return e.read().decode()
    except OSError:
        return None


class Server:
    def __init__(self, port):
        self.base = 'http://127.0.0.1:%d/api/v1/' % port

    def ask(self, path, **args):
        text = get(self.base + path + '?' + urllib.parse.urlencode(args))
        return json.loads(text) if text and text.startswith('{') else None

    def value(self, query):
        """The only value of a query, or None."""
        answer = self.ask('query', query=query)
        if not answer or answer['status'] != 'success':
            return None
        result = answer['data']['result']
        assert len(result) < 2, result
        return float(result[0]['value'][1]) if result else None


def expressions(node):
    """Those of a Grafana dashboard's panels."""
    if isinstance(node, dict):
        if 'expr' in node:
            yield node['expr'].replace('$instance', '.*')
        for v in node.values():
            yield from expressions(v)
    elif isinstance(node, list):
        for v in node:
            yield from expressions(v)


def names(expr):
    return re.findall(r'\b(?:go|gostat|process)_[a-z0-9_]+', expr)


def configure(folder, relay):
    config = (FILES / 'prometheus.yml').read_text()
    assert "['127.0.0.1:6060']" in config and 'scrape_interval: 15s' in config
    config = config.replace(':6060', ':%d' % relay).replace(
        'scrape_interval: 15s',
        'scrape_interval: 500ms\n  evaluation_interval: 500ms')
    (folder / 'prometheus.yml').write_text(config)
    shutil.copy(FILES / 'prometheus-rules.yml', folder)
    for args in (('config', FILES / 'prometheus.yml'),
                 ('config', folder / 'prometheus.yml'),
                 ('rules', FILES / 'prometheus-rules.yml')):
        r = subprocess.run(['promtool', 'check', *map(str, args)],
                           capture_output=True, text=True)
        assert r.returncode == 0, r


def check_scrapes(server, page):
    # A scrape has half a second here. On a busy machine one may fail, and all
    # is unknown until the next.
    assert wait_for('a scrape', lambda: server.value('up')) == 1
    for query, least in (('go_memstats_alloc_bytes', 10e6),
                         ('go_memstats_alloc_bytes_total', 10e6),
                         ('go_threads', 1),
                         ('gostat_profile_samples_total', 1),
                         ('sum(gostat_sizeclass_live_objects)', 100),
                         ('count(rate(process_cpu_seconds_total[1m]))', 1)):
        assert wait_for(query, lambda: server.value(query)) >= least, query

    def target():
        one, = server.ask('targets')['data']['activeTargets']
        return one['health'] == 'up' and one['lastError'] == ''
    wait_for('a target in good health', target)
    # Every sample has arrived: Prometheus and we count alike.
    samples = [s for s in page.splitlines() if s and s[0] != '#']
    wait_for('%d samples' % len(samples), lambda: server.value(
        'scrape_samples_scraped') == len(samples))


def check_files(server, page):
    families = set(re.findall('^([a-z0-9_]+)[ {]', page, re.M))
    dashboard = json.loads((FILES / 'grafana.json').read_text())
    panels = list(expressions(dashboard))
    assert len(panels) > 5
    for expr in panels:
        answer = server.ask('query', query=expr)
        assert answer['status'] == 'success', (expr, answer)
    wait_for('rules', lambda: all(
        r['health'] == 'ok'
        for g in server.ask('rules')['data']['groups'] for r in g['rules']))
    rules = server.ask('rules')['data']['groups'][0]['rules']
    assert len(rules) > 3
    for expr in panels + [r['query'] for r in rules]:
        assert names(expr), expr
        for name in names(expr):
            assert name in families, (name, expr)


def main():
    for tool in ('prometheus', 'promtool', 'socat', 'curl'):
        if not shutil.which(tool):
            print('skipped: %s is not installed' % tool)
            sys.exit(77)
    folder = Path(tempfile.mkdtemp(prefix='gostat-prometheus.'))
    sock = folder / 'app.sock'
    relay, port = free_ports(2)
    configure(folder, relay)
    children = []

    def start(*command, **kw):
        p = subprocess.Popen(list(map(str, command)), **kw)
        children.append(p)
        return p

    try:
        app = start('/usr/bin/python3', '-c', PROGRAM,
                    stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                    env=dict(os.environ, LD_PRELOAD=LIBRARY,
                             GOSTAT_SOCKET=str(sock)))
        assert app.stdout.readline() == b'ready\n'
        start('socat', 'TCP-LISTEN:%d,bind=127.0.0.1,fork,reuseaddr' % relay,
              'UNIX-CONNECT:%s' % sock)
        page = wait_for('the relay', lambda: get(
            'http://127.0.0.1:%d/metrics' % relay))
        direct = subprocess.run(
            ['curl', '-s', '--unix-socket', str(sock),
             'http://gostat/metrics'], check=True, capture_output=True)
        r = subprocess.run(['promtool', 'check', 'metrics'],
                           input=direct.stdout, capture_output=True)
        assert (r.returncode, r.stdout, r.stderr) == (0, b'', b''), r
        log = open(folder / 'log', 'w')
        start('prometheus', '--config.file=%s' % (folder / 'prometheus.yml'),
              '--storage.tsdb.path=%s' % (folder / 'data'),
              '--web.listen-address=127.0.0.1:%d' % port,
              stdout=log, stderr=log)
        server = Server(port)
        try:
            check_scrapes(server, page)
            check_files(server, page)
        except BaseException:
            sys.stderr.write((folder / 'log').read_text()[-4000:])
            raise
        app.stdin.close()
        assert app.wait(300) == 0
        assert wait_for('the end', lambda: server.value('up == bool 0')) == 1
    finally:
        for p in children:
            if p.poll() is None:
                p.kill()
            p.wait()
        shutil.rmtree(folder)


main()
