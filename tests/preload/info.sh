# SPDX-License-Identifier: MIT
# The statistics functions, and that their texts have glibc's shape.
set -eu
"$BIN/info" >glibc.xml 2>glibc.txt || { cat glibc.txt; exit 1; }
LD_PRELOAD=$LIB "$BIN/info" >ours.xml 2>ours.txt || { cat ours.txt; exit 1; }

# malloc_stats: the same lines but for the numbers.
shape() { sed 's/[0-9][0-9]*$/N/; s/  *N$/ N/' "$1"; }
shape glibc.txt >a
shape ours.txt >b
diff a b

# malloc_info: well-formed, the same elements and attributes around the sizes.
python3 - <<'END'
import xml.etree.ElementTree as tree

def outer(element):
    return (element.tag, sorted(element.attrib),
            [outer(e) for e in element if e.tag != "sizes"])

def figure(root, path):
    return int(root.find(path).get("size"))

glibc, ours = (tree.parse(f"{who}.xml").getroot() for who in ("glibc", "ours"))
assert outer(glibc) == outer(ours), (outer(glibc), outer(ours))
sizes = ours.findall("heap/sizes/size")
for s in sizes:
    assert int(s.get("from")) <= int(s.get("to"))
    assert int(s.get("total")) == int(s.get("to")) * int(s.get("count"))
assert figure(ours, "system[@type='current']") > 0
free = sum(int(s.get("total")) for s in sizes)
assert free <= figure(ours, "total[@type='fast']") + \
    figure(ours, "total[@type='rest']")
END
