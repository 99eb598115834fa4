# SPDX-License-Identifier: MIT
# Memory of libc's own heap, or of another libc's, may come to our free.
set -eu
LD_PRELOAD=$LIB "$BIN/foreign"
LD_PRELOAD=$LIB "$BIN/foreign" namespace

# What dlsym finds in libc by name is ours, so that it takes what strdup gives.
[ -x /usr/bin/python3 ] || exit 77 # not a wrapper of somebody's
cat >calls.py <<'END'
import ctypes

for name in ("libc.so.6", None):
    libc = ctypes.CDLL(name)
    libc.strdup.restype = libc.malloc.restype = ctypes.c_void_p
    libc.realloc.restype = ctypes.c_void_p
    libc.free.argtypes = [ctypes.c_void_p]
    libc.realloc.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    for i in range(200):
        libc.free(libc.strdup(b"copied by libc"))
        libc.free(libc.realloc(libc.malloc(1000 * i), 2000 * i + 1))
print("done")
END
[ "$(LD_PRELOAD=$LIB /usr/bin/python3 calls.py)" = done ]
