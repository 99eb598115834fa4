#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Traces before Go's trace tool, and their other spelling before a parser.

    test_trace.py MKTRACE
"""
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict

MKTRACE = sys.argv[1]
SEEDS = 40


def make(form, what, seed=1):
    return subprocess.run([MKTRACE, form, what, str(seed)], check=True,
                          capture_output=True).stdout


def go_events(trace):
    """Lines of `go tool trace -d`: [time, event, rest]."""
    with tempfile.NamedTemporaryFile() as f:
        f.write(trace)
        f.flush()
        r = subprocess.run(['go', 'tool', 'trace', '-d', f.name],
                           capture_output=True, text=True)
    assert r.returncode == 0, r.stderr
    return [line.split(None, 2) for line in r.stdout.splitlines()]


def count_go(trace):
    return Counter(e[1] for e in go_events(trace))


def check_go_gc():
    trace = make('go', 'gc')
    assert trace.startswith(b'go 1.19 trace\0\0\0')
    events = go_events(trace)
    n = Counter(e[1] for e in events)
    assert n['GCStart'] == n['GCDone'] == 3
    assert n['GCSTWStart'] == n['GCSTWDone'] == 6
    assert n['HeapAlloc'] == 6 and n['HeapGoal'] == 3
    assert n['GoStartLabel'] == 3
    text = '\n'.join(' '.join(e) for e in events)
    assert 'label=GC (dedicated)' in text
    assert 'kindid=0' in text and 'kindid=1' in text
    assert 'mem=4000002' in text


def check_go_threads():
    events = go_events(make('go', 'threads'))
    n = Counter(e[1] for e in events)
    assert n['GoCreate'] == 4
    assert n['GoBlockSync'] == n['GoBlockNet'] == n['GoBlockCond'] == 1
    assert n['GoUnblock'] == 3 and n['GoStart'] == 4 + 3
    assert n['GoEnd'] == 4 and n['ProcStart'] == n['ProcStop'] == 4 + 3
    assert n['GCMarkAssistStart'] == n['GCMarkAssistDone'] == 1
    sweep = [e[2] for e in events if e[1] == 'GCSweepDone']
    assert len(sweep) == 1 and 'swept=8192 reclaimed=4096' in sweep[0]
    # The place of the thread that ended is used again.
    assert max(int(re.search(r'p=(\d+)', e[2])[1]) for e in events
               if e[1] == 'ProcStart') == 2


def check_go_random():
    for seed in range(SEEDS):
        n = count_go(make('go', 'random', seed))
        assert n['GCStart'] == n['GCDone']
        assert n['GCSTWStart'] == n['GCSTWDone']
        assert n['GCSweepStart'] == n['GCSweepDone']
        assert n['GoCreate'] == n['GoEnd']


def check_json(trace):
    events = json.loads(trace)['traceEvents']
    last = 0
    open_on = defaultdict(list)
    for e in events:
        assert e['ph'] in 'BECM' and isinstance(e['pid'], int)
        if e['ph'] == 'M':
            continue
        assert e['ts'] > last
        last = e['ts']
        if e['ph'] == 'B':
            open_on[e['tid']].append(e['name'])
        elif e['ph'] == 'E':
            open_on[e['tid']].pop()
    assert not any(open_on.values()), open_on
    return events


def check_perfetto():
    events = check_json(make('perfetto', 'gc'))
    n = Counter(e.get('name') for e in events if e['ph'] == 'B')
    assert n == {'GC': 3, 'STW (mark termination)': 3, 'MARK': 3,
                 'STW (sweep termination)': 3}
    heap = [e['args'] for e in events if e['ph'] == 'C']
    assert heap[1] == {'Allocated': 4000000, 'NextGC': 194304}
    gc = next(e for e in events if e.get('name') == 'GC')
    assert len(gc['args']['stack']) == 6
    events = check_json(make('perfetto', 'threads'))
    names = {e['args']['name'] for e in events
             if e.get('name') == 'thread_name'}
    assert {'worker "1"', 'worker "2"', 'worker "0"'} <= names
    for seed in range(SEEDS):
        check_json(make('perfetto', 'random', seed))


def main():
    check_perfetto()
    if not shutil.which('go'):
        print('skipped: go is not installed')
        sys.exit(77)
    check_go_gc()
    check_go_threads()
    check_go_random()


main()
