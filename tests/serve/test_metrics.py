#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The metrics page before Prometheus' own checker and a strict parser.

    test_metrics.py MKMETRICS
"""
import shutil
import subprocess
import sys

# What Go's client library exports by default, and the two that it gave up.
GO = '''
go_gc_duration_seconds go_gc_gogc_percent go_gc_gomemlimit_bytes
go_goroutines go_info go_memstats_alloc_bytes go_memstats_alloc_bytes_total
go_memstats_buck_hash_sys_bytes go_memstats_frees_total
go_memstats_gc_cpu_fraction go_memstats_gc_sys_bytes
go_memstats_heap_alloc_bytes go_memstats_heap_idle_bytes
go_memstats_heap_inuse_bytes go_memstats_heap_objects
go_memstats_heap_released_bytes go_memstats_heap_sys_bytes
go_memstats_last_gc_time_seconds go_memstats_lookups_total
go_memstats_mallocs_total go_memstats_mcache_inuse_bytes
go_memstats_mcache_sys_bytes go_memstats_mspan_inuse_bytes
go_memstats_mspan_sys_bytes go_memstats_next_gc_bytes
go_memstats_other_sys_bytes go_memstats_stack_inuse_bytes
go_memstats_stack_sys_bytes go_memstats_sys_bytes
go_sched_gomaxprocs_threads go_threads
'''.split()
PROCESS = '''
process_cpu_seconds_total process_max_fds
process_network_receive_bytes_total process_network_transmit_bytes_total
process_open_fds process_resident_memory_bytes process_start_time_seconds
process_virtual_memory_bytes process_virtual_memory_max_bytes
'''.split()


def page(program, form):
    return subprocess.run([program, form], check=True,
                          capture_output=True).stdout


def main():
    program = sys.argv[1]
    text = page(program, 'prometheus')
    families = [line.split()[2] for line in text.decode().splitlines()
                if line.startswith('# TYPE')]
    assert families == sorted(families)
    for name in GO + PROCESS:
        assert name in families, name
    rest = [f for f in families if f not in GO + PROCESS]
    assert all(f.startswith('gostat_') for f in rest), rest
    readers = 0
    if shutil.which('promtool'):
        r = subprocess.run(['promtool', 'check', 'metrics'], input=text,
                           capture_output=True)
        assert (r.returncode, r.stdout, r.stderr) == (0, b'', b''), r
        readers += 1
    try:
        from prometheus_client.openmetrics import parser
    except ImportError:
        parser = None
    if parser:
        strict = page(program, 'openmetrics').decode()
        got = {f.name: f for f in parser.text_string_to_metric_families(
            strict)}
        assert got['gostat_pause_seconds'].type == 'histogram'
        assert got['gostat_cycles'].type == 'counter'
        readers += 1
    if not readers:
        print('skipped: neither promtool nor a parser is installed')
        sys.exit(77)


main()
