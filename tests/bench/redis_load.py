# SPDX-License-Identifier: MIT
"""A redis client of a few lines: replays a command file over a Unix socket.

Commands go out in the file's batches; the next batch is sent when the last
reply of the one before has come, so the server sees the same reads in the
same order under every allocator. The replies' checksum is the row's check.
"""
import socket
import time
import zlib

MARK = b"$4\r\ndone\r\n"


def wire(words):
    out = [b"*%d\r\n" % len(words)]
    out += [b"$%d\r\n%s\r\n" % (len(w), w) for w in words]
    return b"".join(out)


def read_batches(file):
    """The file's batches as bytes to send, each ended by an ECHO."""
    batches, batch = [], []
    with open(file, "rb") as lines:
        for line in lines:
            words = line.split()
            if words:
                batch.append(wire(words))
            elif batch:
                batches.append(b"".join(batch) + wire([b"ECHO", b"done"]))
                batch = []
    if batch:
        batches.append(b"".join(batch) + wire([b"ECHO", b"done"]))
    return batches


def connect(path, alive, seconds=10.0):
    """The connected socket; the server may still be starting while alive()."""
    end = time.monotonic() + seconds
    while True:
        client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            client.connect(path)
            return client
        except OSError:
            client.close()
            if time.monotonic() > end or not alive():
                raise
            time.sleep(0.005)


def replay(path, batches, alive):
    """Send everything, stop the server; the checksum of what it answered."""
    check = 0
    with connect(path, alive) as client:
        client.settimeout(60)
        for batch in batches:
            client.sendall(batch)
            reply = b""
            while not reply.endswith(MARK):
                got = client.recv(1 << 20)
                if not got:
                    raise ConnectionError("the server hung up")
                reply += got
            check = zlib.crc32(reply, check)
        client.sendall(wire([b"SHUTDOWN", b"NOSAVE"]))
        while client.recv(4096):
            pass
    return check
