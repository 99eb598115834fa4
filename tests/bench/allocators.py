# SPDX-License-Identifier: MIT
"""Which allocators are compared: found on the machine or named by the user."""
import os
import subprocess
from dataclasses import dataclass, field

GLIBC = "glibc"
GOSTAT = "gostat"

# Name, sonames from newest to oldest, Debian package.
PEERS = (
    ("jemalloc", ("libjemalloc.so.2",), "libjemalloc2"),
    ("mimalloc", ("libmimalloc.so.3", "libmimalloc.so.2.0", "libmimalloc.so.2"),
     "libmimalloc2.0"),
    ("tcmalloc", ("libtcmalloc_minimal.so.4",), "libtcmalloc-minimal4"),
)


@dataclass(frozen=True)
class Allocator:
    name: str
    path: str = ""            # what LD_PRELOAD gets; "" = nothing
    env: dict = field(default_factory=dict)
    is_ours: bool = False     # a build of libgostat.so: never a peer


class Unusable(Exception):
    """An allocator that was asked for can't be used; says why."""


def library_paths():
    """soname -> path, from the loader's cache."""
    for tool in ("/sbin/ldconfig", "/usr/sbin/ldconfig"):
        if os.path.exists(tool):
            break
    else:
        return {}
    out = subprocess.run([tool, "-p"], text=True, stdout=subprocess.PIPE,
                         check=True).stdout
    found = {}
    for line in out.splitlines():
        name, arrow, path = line.strip().partition(" => ")
        if arrow and "x86-64" in name:
            found.setdefault(name.split()[0], path)
    return found


def installed_peers():
    """The peers found, and the Debian packages of those that were not."""
    known = library_paths()
    peers, missing = [], []
    for name, sonames, package in PEERS:
        path = next((known[s] for s in sonames if s in known), None)
        if path:
            peers.append(Allocator(name, path))
        else:
            missing.append(package)
    return peers, missing


def is_gostat(path):
    """Is this a build of ours? It reads variables that nobody else does."""
    with open(path, "rb") as lib:
        return b"GOSTAT_" in lib.read()


def parse_pair(text):
    """NAME=PATH[+VAR=VALUE...] as an Allocator."""
    name, _, rest = text.partition("=")
    path, *settings = rest.split("+")
    path = os.path.abspath(path)
    if not os.path.isfile(path):
        raise Unusable(f"{name}: no such file: {path}")
    if not all("=" in s for s in settings):
        raise Unusable(f"{text}: expected NAME=PATH+VAR=VALUE")
    env = dict(s.split("=", 1) for s in settings)
    return Allocator(name, path, env, is_ours=is_gostat(path))


def choose(wanted, library):
    """The allocators to run, glibc first, then ours, and missing packages.

    wanted is the --allocators list (None: all there are), library the built
    libgostat.so or None where there is none.
    """
    peers, missing = installed_peers()
    known = {peer.name: peer for peer in peers}
    if library:
        known[GOSTAT] = Allocator(GOSTAT, library, is_ours=True)
    if wanted is None:
        chosen = list(known.values())
    else:
        chosen, missing = [], []
        for text in wanted.split(","):
            if "=" in text:
                chosen.append(parse_pair(text))
            elif text in known:
                chosen.append(known[text])
            elif text != GLIBC:
                raise Unusable(f"{text}: not installed or not built; known "
                               f"here: {', '.join([GLIBC, *known])}")
    chosen.sort(key=lambda a: not a.is_ours)
    names = [GLIBC] + [a.name for a in chosen]
    if len(set(names)) != len(names):
        raise Unusable("two allocators of one name")
    return [Allocator(GLIBC), *chosen], missing
