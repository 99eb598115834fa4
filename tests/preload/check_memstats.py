# SPDX-License-Identifier: MIT
"""check_memstats.py [--sequence] FILE...: do the identities of MemStats hold in
each, and do the cumulative counters never fall from one file to the next?"""
import json
import sys


def check(m):
    assert m["Alloc"] == m["HeapAlloc"]
    assert m["HeapObjects"] == m["Mallocs"] - m["Frees"] >= 0
    assert m["HeapSys"] == m["HeapIdle"] + m["HeapInuse"]
    assert m["HeapReleased"] <= m["HeapIdle"]
    assert m["HeapAlloc"] <= m["HeapInuse"]
    assert m["TotalAlloc"] >= m["Alloc"]
    assert m["Sys"] == sum(m[k] for k in (
        "HeapSys", "StackSys", "MSpanSys", "MCacheSys", "BuckHashSys",
        "GCSys", "OtherSys"))
    assert 0 < m["StackInuse"] <= m["StackSys"]
    assert m["MSpanInuse"] <= m["MSpanSys"]
    assert m["MCacheInuse"] <= m["MCacheSys"]
    assert sum(c["Mallocs"] for c in m["BySize"]) <= m["Mallocs"]
    assert all(c["Frees"] <= c["Mallocs"] for c in m["BySize"])
    assert len(m["BySize"]) == 61 and m["BySize"][60]["Size"] == 18432
    assert m["BySize"][0] == {"Size": 0, "Mallocs": 0, "Frees": 0}
    assert len(m["PauseNs"]) == len(m["PauseEnd"]) == 256
    assert m["EnableGC"] is True and m["DebugGC"] is False


def main():
    sequence = sys.argv[1] == "--sequence"
    last = None
    for name in sys.argv[1 + sequence:]:
        with open(name) as f:
            text = f.read()
        m = json.loads(text)
        # Go's encoding/json has no blanks; a newline ends the file.
        assert text == json.dumps(m, separators=(",", ":")) + "\n", name
        try:
            check(m)
            if last:
                for k in "TotalAlloc", "Mallocs", "Frees", "NumGC":
                    assert m[k] >= last[k], k
        except AssertionError:
            print(name, text, file=sys.stderr)
            raise
        last = m if sequence else None


main()
