# SPDX-License-Identifier: MIT
"""documents.py COUNT: build, print, parse and regroup JSON documents."""
import json
import random
import sys
import zlib


def document(rng, number):
    words = ["w%x" % rng.getrandbits(24) for _ in range(12)]
    return {
        "id": number,
        "name": " ".join(words[:3]),
        "tags": words[3:8],
        "points": [rng.getrandbits(16) / 256 for _ in range(10)],
        "parent": {"id": number // 2, "note": words[8] * 8},
        "flags": {word: bool(number & 1) for word in words[9:]},
    }


def group(documents):
    by_tag = {}
    for doc in documents:
        for tag in doc["tags"]:
            by_tag.setdefault(tag[:3], []).append((doc["id"], tag))
    return {tag: sorted(found)[:4] for tag, found in by_tag.items()}


def main():
    rng = random.Random(97)
    check = 0
    for start in range(0, int(sys.argv[1]), 1000):
        documents = [document(rng, start + i) for i in range(1000)]
        text = json.dumps(documents, indent=1)
        again = json.loads(text)
        if again != documents:
            sys.exit("documents.py: JSON came back changed")
        lines = [line.strip() for line in text.split("\n")]
        groups = json.dumps(group(again), sort_keys=True)
        check = zlib.crc32((groups + "".join(lines)).encode(), check)
    print("check %x" % check)


main()
