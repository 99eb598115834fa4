# SPDX-License-Identifier: MIT
"""What is measured: one Row for each line of the tables.

A command is a list of words. The first names a program of this folder or of
the system (see Row.package); in the others {ms} is the time for a micro loop,
{work} the row's amount of work times the scale, {data} the row's input file
and {here} this folder.
"""
import fnmatch
import os
import shutil
import subprocess
from dataclasses import dataclass, field

HERE = os.path.dirname(os.path.abspath(__file__))
SYSTEM_PATH = "/usr/local/bin:/usr/bin:/bin"

# Groups, in the order of the tables.
MICRO = "micro"        # CPU ns of one operation, told by the program itself
SINGLE = "single"      # a workload of ours, one thread: CPU time, memory
THREADS = "threads"    # the same with threads: wall time too
PROGRAM = "program"    # somebody else's program: CPU time, memory
GROUPS = (MICRO, SINGLE, THREADS, PROGRAM)


@dataclass(frozen=True)
class Row:
    name: str
    group: str
    what: str
    command: tuple
    work: float = 0          # at scale 1
    data: str = ""           # name of an input file, see data.py
    data_scale: float = 1.0  # its scale at scale 1
    stdin: bool = False      # the input file is the program's stdin
    package: str = ""        # Debian package of a system program; "" = ours
    env: dict = field(default_factory=dict)
    server: bool = False     # driven by redis_load.py


def micro(name, what, *command):
    return Row(name, MICRO, what, command + ("{ms}ms",))


def ours(name, group, what, work, *command):
    return Row(name, group, what, command + ("{work}",), work=work)


def pairs():
    for name, size, what in (
            ("16", 16, "16 B"), ("64", 64, "64 B"), ("256", 256, "256 B"),
            ("1k", 1024, "1 KiB"), ("4k", 4096, "4 KiB"),
            ("64k", 65536, "64 KiB"), ("1m", 1 << 20, "1 MiB")):
        yield micro(f"pair-{name}", f"malloc, free {what}", "pairs", str(size))


def batches():
    for name, size, what in (
            ("16", 16, "16 B"), ("256", 256, "256 B"),
            ("1k", 1024, "1 KiB"), ("4k", 4096, "4 KiB")):
        yield micro(f"batch-{name}", f"128 mallocs, 128 frees {what}",
                    "batch", str(size))


ROWS = (
    *pairs(),
    *batches(),
    micro("replace-small", "random slots, 16-128 B",
          "replace", "8192", "16", "128"),
    micro("replace-medium", "random slots, 256 B-4 KiB",
          "replace", "8192", "256", "4096"),
    micro("replace-large", "random slots, 8-256 KiB",
          "replace", "256", "8192", "262144"),
    ours("trees", SINGLE, "build, walk, drop trees", 90, "trees"),
    ours("vectors", SINGLE, "realloc, doubling", 40, "vectors"),
    ours("append", SINGLE, "realloc, exact length", 700, "append"),
    ours("words", SINGLE, "hash table of strdups", 14, "words"),
    ours("callocs", SINGLE, "zeroed, 16 B-64 KiB", 22, "callocs"),
    ours("aligned", SINGLE, "aligned to 32 B-4 KiB", 30, "aligned"),
    ours("large-touch", SINGLE, "5-25 MiB, 1 MiB touched", 1600,
         "large", "touch"),
    ours("large-fill", SINGLE, "5-25 MiB, all written", 60,
         "large", "fill"),
    ours("larson", THREADS, "server, threads come, go", 160, "larson"),
    ours("handoff", THREADS, "producer to consumer", 2500000,
         "handoff", "64"),
    ours("exchange", THREADS, "shared table, 8 B-16 KiB", 1500000, "exchange"),
    ours("short-threads", THREADS, "threads start, end", 10000,
         "threads"),
    Row("python", PROGRAM, "JSON and dicts",
        ("python3", "{here}/workloads/documents.py", "{work}"), work=9000,
        package="python3",
        env={"PYTHONMALLOC": "malloc", "PYTHONHASHSEED": "0",
             "PYTHONDONTWRITEBYTECODE": "1"}),
    Row("cc1", PROGRAM, "C compiler, -O2",
        ("cc1", "-quiet", "-O2", "-o", "-", "{data}"),
        data="source.c", data_scale=0.7, package="gcc"),
    Row("sqlite", PROGRAM, "in-memory tables",
        ("sqlite3", "-batch", ":memory:"), data="tables.sql", data_scale=3.5,
        stdin=True, package="sqlite3"),
    Row("redis", PROGRAM, "server's CPU only",
        ("redis-server",), data="redis.txt", server=True,
        package="redis-server"),
    Row("perl", PROGRAM, "hashes and strings",
        ("perl", "{here}/workloads/hashes.pl", "{work}"), work=18,
        package="perl", env={"PERL_HASH_SEED": "0"}),
    Row("gawk", PROGRAM, "fields and arrays",
        ("gawk", "-f", "{here}/workloads/fields.awk", "{data}"),
        data="access.log", data_scale=0.8, package="gawk"),
    Row("jq", PROGRAM, "group documents",
        ("jq", "-r", "-f", "{here}/workloads/regroup.jq", "{data}"),
        data="documents.json", data_scale=0.5, package="jq"),
    Row("lua", PROGRAM, "tables and closures",
        ("lua5.4", "{here}/workloads/tables.lua", "{work}"), work=25,
        package="lua5.4"),
    Row("ruby", PROGRAM, "strings and hashes",
        ("ruby", "--disable-gems", "{here}/workloads/objects.rb", "{work}"),
        work=20, package="ruby"),
    Row("php", PROGRAM, "arrays, USE_ZEND_ALLOC=0",
        ("php", "-n", "{here}/workloads/arrays.php", "{work}"), work=24,
        package="php-cli", env={"USE_ZEND_ALLOC": "0"}),
)


def select(pattern, table=ROWS):
    """Rows whose name or group matches one of the comma-separated patterns."""
    if not pattern:
        return list(table)
    wanted = pattern.split(",")
    return [row for row in table
            if any(fnmatch.fnmatchcase(row.name, p) or row.group == p
                   for p in wanted)]


def system_program(name):
    """Full path of a system program, or None. cc1 is where gcc says."""
    if name != "cc1":
        return shutil.which(name, path=SYSTEM_PATH)
    gcc = shutil.which("gcc", path=SYSTEM_PATH)
    if not gcc:
        return None
    told = subprocess.run([gcc, "-print-prog-name=cc1"], text=True, check=True,
                          stdout=subprocess.PIPE).stdout.strip()
    return told if os.path.isabs(told) else None


def missing_packages(rows):
    """Debian packages that some of the rows need and that are not here."""
    return sorted({row.package for row in rows
                   if row.package and not system_program(row.command[0])})


def available(rows):
    return [row for row in rows
            if not row.package or system_program(row.command[0])]
