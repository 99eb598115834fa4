#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Reads what mkprofile wrote with readers that are not ours.

    test_pprof.py MKPROFILE PROFILE.PROTO

protoc checks the encoding, `go tool pprof` that its users see what they
expect. Exit status 77 (skipped) when a reader is not installed.
"""
import gzip
import math
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

RATE = 524288


def run(*cmd, data=None):
    r = subprocess.run(cmd, input=data, capture_output=True)
    assert r.returncode == 0, (cmd, r.stderr.decode())
    return r.stdout


def parse_text_format(text):
    """protoc's text format as lists of (name, value or list)."""
    stack = [[]]
    for line in text.splitlines():
        line = line.strip()
        if line.endswith('{'):
            child = []
            stack[-1].append((line[:-1].strip(), child))
            stack.append(child)
        elif line == '}':
            stack.pop()
        else:
            name, value = line.split(': ', 1)
            if value.startswith('"'):
                value = value[1:-1]
            elif value in ('true', 'false'):
                value = value == 'true'
            else:
                value = int(value)
            stack[-1].append((name, value))
    assert len(stack) == 1
    return stack[0]


def every(message, name):
    return [v for k, v in message if k == name]


def one(message, name, default=0):
    values = every(message, name)
    assert len(values) <= 1, (name, values)
    return values[0] if values else default


class Profile:
    def __init__(self, data, proto):
        text = run('protoc', '--proto_path', str(proto.parent),
                   '--decode=Profile', proto.name, data=data).decode()
        # A field that the reader does not know is shown by its number.
        assert not re.search(r'^\s*\d+[:{ ]', text, re.M), text
        self.m = parse_text_format(text)
        self.strings = every(self.m, 'string_table')
        assert self.strings[0] == ''
        assert len(set(self.strings)) == len(self.strings)

    def string(self, message, name):
        return self.strings[one(message, name)]

    def types(self):
        return [(self.string(t, 'type'), self.string(t, 'unit'))
                for t in every(self.m, 'sample_type')]

    def samples(self):
        locations = {one(x, 'id'): x for x in every(self.m, 'location')}
        for s in every(self.m, 'sample'):
            labels = {self.string(x, 'key'): one(x, 'num')
                      for x in every(s, 'label')}
            yield ([locations[i] for i in every(s, 'location_id')],
                   every(s, 'value'), labels)


def scaled(count, size):
    if not count:
        return [0, 0]
    f = 1 / -math.expm1(-size / RATE)
    return [int(count * f), int(count * size * f)]


def check_heap(p, sites):
    assert p.types() == [('alloc_objects', 'count'), ('alloc_space', 'bytes'),
                         ('inuse_objects', 'count'), ('inuse_space', 'bytes')]
    period = one(p.m, 'period_type')
    assert (p.string(period, 'type'), p.string(period, 'unit')) == \
        ('space', 'bytes')
    assert one(p.m, 'period') == RATE
    assert one(p.m, 'time_nanos') > 1.6e18
    assert one(p.m, 'duration_nanos') == 0
    re.compile(p.string(p.m, 'drop_frames'))
    expect = [(48, 1000, 7), (1 << 20, 3, 2), (4096, 5, 0)]
    got = sorted(p.samples(), key=lambda s: [
        x[0] for x in expect].index(s[2]['bytes']))
    assert len(got) == 3
    for (stack, value, labels), (size, allocs, inuse), (pc, depth) in \
            zip(got, expect, sites):
        assert labels == {'bytes': size}
        assert value == scaled(allocs, size) + scaled(inuse, size), value
        assert len(stack) == depth
        assert one(stack[0], 'address') == pc - 1
    # The three stacks share their outer frames, and so their locations.
    assert len(every(p.m, 'location')) == \
        sum(d for _, d in sites) - 2 * (sites[0][1] - 2)


def check_mappings(p, program):
    maps = every(p.m, 'mapping')
    assert [one(m, 'id') for m in maps] == list(range(1, len(maps) + 1))
    assert p.string(maps[0], 'filename') == program
    assert p.string(maps[0], 'build_id') == '0123456789abcdef'
    assert p.string(maps[1], 'build_id') == ''
    for location in every(p.m, 'location'):
        m = maps[one(location, 'mapping_id') - 1]
        assert one(m, 'memory_start') <= one(location, 'address') \
            < one(m, 'memory_limit')


def check_named(p):
    functions = {one(f, 'id'): p.string(f, 'name')
                 for f in every(p.m, 'function')}
    assert sorted(functions.values()) == \
        ['elsewhere', 'inlined_leaf', 'ns::named::small']
    stack = next(s for s, _, labels in p.samples() if labels['bytes'] == 48)
    lines = every(stack[0], 'line')
    assert [(functions[one(x, 'function_id')], one(x, 'line'))
            for x in lines] == [('inlined_leaf', 7), ('ns::named::small', 70)]
    used = {one(x, 'mapping_id') for x in every(p.m, 'location')}
    for m in every(p.m, 'mapping'):
        claims = [one(m, 'has_' + k, False) for k in
                  ('functions', 'filenames', 'line_numbers', 'inline_frames')]
        assert claims == [one(m, 'id') in used] * 4


def check_delta(p):
    assert one(p.m, 'duration_nanos') == 2500000000
    got = {labels['bytes']: value for _, value, labels in p.samples()}
    assert got == {48: [0, 0, -3, -144], 1 << 20: [1, 1 << 20, 0, 0]}, got


def check_generations(p):
    """An address belongs to the module of its stack's time."""
    maps = every(p.m, 'mapping')
    files = {one(m, 'id'): p.string(m, 'filename') for m in maps}
    for stack, _, labels in p.samples():
        file = files[one(stack[0], 'mapping_id')]
        assert (file == '/other') == (labels['bytes'] == 4096), file


def top(program, *args):
    """{function: flat value} as `go tool pprof -top` prints it."""
    text = run('go', 'tool', 'pprof', '-top', '-unit=B',
               '-nodefraction=0', *args).decode()
    rows = {}
    for line in text.split('flat%')[1].splitlines()[1:]:
        f = line.split(None, 5)
        rows[f[5]] = int(float(f[0].rstrip('B')))
    return text, rows


def check_go(folder, program):
    for name in ('heap.pb', 'heap.pb.gz', 'heap.txt'):
        text, rows = top(program, program, str(folder / name))
        assert 'Type: inuse_space' in text, text
        assert rows['large_site'] == scaled(2, 1 << 20)[1], rows
        assert rows['small_site'] == scaled(7, 48)[1], rows
        assert rows['caller'] == 0
    text, rows = top(program, program, str(folder / 'allocs.pb.gz'))
    assert 'Type: alloc_space' in text
    assert rows['freed_site'] == scaled(5, 4096)[1]
    # With names in the profile neither the program nor its symbols matter.
    _, rows = top(program, str(folder / 'named.pb.gz'))
    assert rows['inlined_leaf (inline)'] == scaled(7, 48)[1], rows
    assert 'ns::named::small' in rows
    raw = run('go', 'tool', 'pprof', '-raw', str(folder / 'delta.pb.gz'))
    assert b'Duration: 2.5' in raw or b'Duration: 3' in raw, raw


def main():
    mkprofile, proto = sys.argv[1], Path(sys.argv[2])
    for tool in ('protoc', 'go'):
        if not shutil.which(tool):
            print(f'skipped: {tool} is not installed')
            sys.exit(77)
    with tempfile.TemporaryDirectory() as tmp:
        folder = Path(tmp)
        out = run(mkprofile, tmp).decode().splitlines()
        sites = [(int(x.split()[0], 16), int(x.split()[1])) for x in out]
        plain = (folder / 'heap.pb').read_bytes()

        def unzip(name):
            return gzip.decompress((folder / name).read_bytes())

        assert unzip('heap.pb.gz') == plain
        check_heap(Profile(plain, proto), sites)
        check_mappings(Profile(plain, proto), mkprofile)
        assert one(Profile(plain, proto).m, 'default_sample_type') == 0
        p = Profile(unzip('allocs.pb.gz'), proto)
        assert p.string(p.m, 'default_sample_type') == 'alloc_space'
        check_heap(p, sites)
        check_named(Profile(unzip('named.pb.gz'), proto))
        check_delta(Profile(unzip('delta.pb.gz'), proto))
        check_generations(Profile(unzip('generations.pb.gz'), proto))
        check_go(folder, mkprofile)


main()
