# SPDX-License-Identifier: MIT
"""
The table of programs that compare.py runs plain and preloaded.

A case: name, Debian packages (`a|b`: either), the script, and where needed

	setup		script that is always run plain, before the case
	needs		script that must succeed plain, else the case is skipped
	status		exit status that the plain run must have
	normalize	(pattern, mask) pairs for what varies by nature
	timeout		seconds for one run; some ten times what is usual
	leaves		the program leaves processes behind, and that is known

What a case prints must not depend on the clock, on process numbers, on
addresses or on the order of threads: print sums, not traces. Scripts see $BIN
(the programs of this folder, built), $SRC (this folder), `await` and
`$unprivileged` from compare.py.
"""

from dataclasses import dataclass


@dataclass
class Case:
    """One row of the table; see the module's description."""
    name: str
    packages: list
    script: str
    setup: str = ""
    needs: str = ""
    status: int = 0
    normalize: list = ()
    timeout: int = 120
    leaves: bool = False


CASES = []

HEX = (r"0x[0-9a-f]{6,}", "0xADDRESS")
DEATH = (r"(line \d+: )\s*\d+ (?=[A-Z])", r"\1PID ")  # the shell tells of one


def case(name, packages, script, **more):
    """Add a row."""
    more["normalize"] = [(p.encode(), m.encode())
                         for p, m in [DEATH, *more.get("normalize", ())]]
    CASES.append(Case(name, packages.split(), script, **more))


# -- interpreters ----------------------------------------------------------

PYTHON = "python3 libpython3.11-testsuite"


def python_tests(module, **more):
    """Python's own tests of one module, by name and verdict."""
    case(f"python-{module}", PYTHON, f"""
/usr/bin/python3 -W ignore $SRC/pytests.py test.test_{module} verdicts \\
	>said 2>&1; status=$?
cat verdicts; [ -s verdicts ] && exit $status; cat said; exit 1
""", normalize=[HEX], **more)


for _module in ("json", "dict", "thread", "zlib", "gc", "ctypes", "mmap",
                "pickle", "bytes"):
    python_tests(_module)
python_tests("threading", timeout=300)
python_tests("fork1", timeout=300)
python_tests("subprocess", timeout=400, leaves=True)

case("python-pool", "python3", r"""
/usr/bin/python3 - <<'EOF'
import hashlib, json, multiprocessing, re, threading

def work(n):
    d = {str(i): [i] * (i % 50) for i in range(n)}
    return hashlib.sha256(json.dumps(d).encode()).hexdigest()

if __name__ == "__main__":
    with multiprocessing.get_context("fork").Pool(3) as pool:
        print(*pool.map(work, range(0, 5000, 250)), sep="\n")
    out = [None] * 8
    def put(i):
        out[i] = len(re.findall(r"\d+", work(2000 + i)))
    ts = [threading.Thread(target=put, args=(i,)) for i in range(8)]
    [t.start() for t in ts]; [t.join() for t in ts]
    print(out)
EOF
""")

case("perl", "perl", r"""
perl -e '
use strict; use warnings; use threads;
my %h; $h{$_ % 5003} .= chr(65 + $_ % 26) for 1 .. 200_000;
my $sum = 0; $sum += length for values %h; print "$sum\n";
my $text = join " ", map { "k$_=" . $_ ** 2 } 1 .. 20_000;
my $n = () = $text =~ /(\w+)=(\d*7\d*)/g; print "$n\n";
$text =~ s/(\d+)/<$1>/g; print length($text), "\n";
print join(",", (sort { $b <=> $a } map { $_ * 7919 % 10007 } 1 .. 9999)[0 .. 9]), "\n";
my @t = map { my $i = $_; threads->create(sub {
	my %l = map { $_ => "x" x ($_ % 100) } 1 .. 5000;
	my $s = 0; $s += length $l{$_} for keys %l; return $s * $i;
}) } 1 .. 4;
print join(" ", map { $_->join } @t), "\n";
for my $i (1 .. 5) {
	my $pid = fork // die; if (!$pid) { my @a = (1) x 50_000; exit $i }
	waitpid $pid, 0; print $? >> 8, "\n";
}
my @ring; for (1 .. 1000) { my $x = {}; $x->{me} = $x; push @ring, [$x] }
print scalar(@ring), "\n";
'
""")

case("ruby", "ruby", r"""
ruby -e '
require "json"
t = 6.times.map { |i| Thread.new {
	a = (0...20_000).map { |k| "%d-%s" % [k, "x" * (k % 40)] }
	GC.start if i.odd?
	a.map(&:size).sum + i } }
p t.map(&:value)
h = Hash.new { |m, k| m[k] = [] }
100_000.times { |i| h[i % 997] << i.to_s }
p h.values.map(&:size).minmax, JSON.parse(JSON.dump(h.first)).size
GC.compact if GC.respond_to?(:compact)
GC.start(full_mark: true, immediate_sweep: true)
s = +""; 50_000.times { |i| s << i.to_s(36) }; p s.size, s.hash == s.dup.hash
p (1..3).map { |i| pid = fork { x = "y" * 1_000_000; exit! i }
	Process.wait2(pid)[1].exitstatus }
f = Fiber.new { 1000.times { |i| Fiber.yield "z" * i }; nil }
p 500.times.sum { f.resume.size }
'
""")

PHP = r"""
<?php
$a = [];
for ($i = 0; $i < 200000; $i++) $a["k" . ($i % 4099)][] = $i;
ksort($a);
echo count($a), " ", md5(json_encode($a)), "\n";
$s = str_repeat("abc-123 ", 20000);
echo preg_match_all('/([a-z]+)-(\d+)/', $s, $m), " ", strlen(strrev($s)), "\n";
class Node { public $next; public $pad; }
for ($r = 0; $r < 20; $r++) {
	$first = $n = new Node;
	for ($i = 0; $i < 2000; $i++) { $n->next = new Node; $n->pad = str_repeat("x", $i % 64); $n = $n->next; }
	$n->next = $first;
}
unset($n, $first);
echo gc_collect_cycles() > 0 ? "cycles" : "none", "\n";
$e = get_loaded_extensions(); sort($e); echo implode(" ", $e), "\n";
function f(int $n) { for ($i = 0; $i < $n; $i++) yield str_repeat("y", $i % 100); }
$t = 0; foreach (f(50000) as $v) $t += strlen($v); echo $t, "\n";
try { throw new RuntimeException("thrown"); } catch (Exception $x) { echo $x->getMessage(), "\n"; }
"""
case("php", "php-cli", f"""
cat >a.php <<'EOF'
{PHP.strip()}
EOF
php a.php && php -n a.php && USE_ZEND_ALLOC=0 php a.php
""")
case("php-opcache", "php-cli", f"""
cat >a.php <<'EOF'
{PHP.strip()}
EOF
for jit in disable tracing; do
	php -d opcache.enable_cli=1 -d opcache.jit_buffer_size=16M \\
		-d opcache.jit=$jit a.php || exit
done
php -m
""")

case("lua", "lua5.4", r"""
lua5.4 -e '
local t = {}
for i = 1, 200000 do t[i % 5003 .. ""] = (t[i % 5003 .. ""] or "") .. i % 10 end
local n = 0 for _, v in pairs(t) do n = n + #v end print(n)
for mode in ("incremental generational"):gmatch("%a+") do
	collectgarbage(mode)
	local keep = {}
	for i = 1, 300000 do keep[i % 1000] = {i, tostring(i), keep[i % 7]} end
	collectgarbage() print(mode, #keep)
end
local weak = setmetatable({}, {__mode = "k", __gc = print and nil})
for i = 1, 1000 do weak[{}] = i end collectgarbage() print(next(weak))
local co = coroutine.wrap(function() for i = 1, 1e5 do coroutine.yield(("x"):rep(i % 50)) end end)
local s = 0 for i = 1, 1e5 do s = s + #co() end print(s)
print(#string.rep("abc", 1e6), select(2, string.rep("k=v;", 1e5):gsub("(%w)=(%w)", "%2=%1")))
'
""")

case("node", "nodejs", r"""
cat >a.js <<'EOF'
const { Worker, isMainThread, parentPort, workerData } = require('worker_threads');
const crypto = require('crypto'), zlib = require('zlib');
function work(n) {
	const o = {};
	for (let i = 0; i < n; i++) o['k' + i] = { i, s: 'x'.repeat(i % 30), a: [i, i * 2] };
	const text = JSON.stringify(JSON.parse(JSON.stringify(o)));
	const packed = zlib.gzipSync(Buffer.from(text));
	const back = zlib.gunzipSync(packed);
	return crypto.createHash('sha256').update(back).digest('hex');
}
if (!isMainThread) {
	parentPort.postMessage(work(workerData));
} else {
	const jobs = [1000, 5000, 9000, 20000].map(n => new Promise((ok, no) => {
		const w = new Worker(__filename, { workerData: n });
		w.on('message', ok); w.on('error', no);
	}));
	let b = [];
	for (let i = 0; i < 3000; i++) b.push(Buffer.alloc(i % 5000, i & 255));
	Promise.all(jobs).then(r => {
		console.log(r.join('\n'));
		console.log(Buffer.concat(b).length, work(30000));
		const c = require('child_process').spawnSync(process.execPath, ['-p', '6*7']);
		console.log(c.status, c.stdout.toString().trim());
	});
}
EOF
node a.js
""", timeout=200)

case("java", "openjdk-17-jdk-headless|default-jdk-headless", r"""
cat >Main.java <<'EOF'
import java.nio.*; import java.util.*; import java.util.concurrent.*;
import java.util.zip.*;
public class Main {
	static long work(int seed) throws Exception {
		Random r = new Random(seed);
		Map<String, byte[]> m = new TreeMap<>();
		for (int i = 0; i < 20000; i++) m.put("k" + r.nextInt(5000), new byte[r.nextInt(400)]);
		long n = 0;
		for (byte[] b : m.values()) n += b.length;
		for (int i = 0; i < 50; i++) {
			ByteBuffer d = ByteBuffer.allocateDirect(1 << (i % 16));
			n += d.capacity();
		}
		Deflater z = new Deflater(); byte[] in = new byte[100000]; r.nextBytes(in);
		z.setInput(in); z.finish(); n += z.deflate(new byte[200000]); z.end();
		return n;
	}
	public static void main(String[] a) throws Exception {
		ExecutorService e = Executors.newFixedThreadPool(4);
		List<Future<Long>> f = new ArrayList<>();
		for (int i = 0; i < 16; i++) { int s = i; f.add(e.submit(() -> work(s))); }
		for (Future<Long> x : f) System.out.println(x.get());
		e.shutdown(); System.gc();
		try { int[] big = new int[Integer.MAX_VALUE]; } catch (OutOfMemoryError x) { System.out.println("caught"); }
	}
}
EOF
javac Main.java || exit
for gc in Serial Parallel G1; do
	java -Xmx200m -XX:+Use${gc}GC -XX:NativeMemoryTracking=off Main || exit
done
java -Xmx200m -XX:+UseG1GC -XX:ParallelGCThreads=4 -XX:ConcGCThreads=2 Main
""", timeout=300)

case("emacs", "emacs-nox", r"""
emacs -Q --batch --eval '
(progn
  (dotimes (i 20000) (puthash i (make-string (% i 50) ?x) (setq h (or (bound-and-true-p h) (make-hash-table)))))
  (princ (format "%d\n" (hash-table-count h)))
  (garbage-collect)
  (with-temp-buffer
    (dotimes (i 5000) (insert (format "line %d of text\n" i)))
    (goto-char (point-min))
    (while (re-search-forward "line \\([0-9]+\\)" nil t) (replace-match "[\\1]"))
    (princ (md5 (buffer-string)))
    (princ "\n"))
  (princ (shell-command-to-string "echo from a child")))'
""")

case("vim", "vim|vim-nox|vim-gtk3", r"""
seq 1 5000 | sed 's/$/ the quick brown fox/' >text
vim -Nu NONE -i NONE -n -es text <<'EOF'
%s/\(\d\+\) the \(\w\+\)/\2 \1/
g/7$/d
g/^quick 1/m0
let l = []
for i in range(20000) | call add(l, repeat('x', i % 40)) | endfor
call append(0, string(len(join(l, ''))))
normal gg>G
wq! out
EOF
echo $?; sha256sum out; wc out
""")


# -- compilers and builders ------------------------------------------------

GENERATE_C = r"""
i=0
while [ $i -lt 12 ]; do
	{
		echo '#include <stdio.h>'
		echo '#include <stdlib.h>'
		echo '#include <string.h>'
		for f in $(seq 40); do
			echo "int f${i}_$f(const char *s, int n) { char b[99]; int t = $f;"
			echo "for (int k = 0; k < n; k++) { snprintf(b, sizeof(b), \"%s-%d\", s, k * $f); t += (int)strlen(b) * (k % $((f + 1)) ? 1 : 2); } return t; }"
		done
	} >m$i.c
	i=$((i + 1))
done
{
	for i in $(seq 0 11); do echo "int f${i}_7(const char *, int);"; done
	echo '#include <stdio.h>'
	echo 'int main(void) { int t = 0;'
	for i in $(seq 0 11); do echo "t += f${i}_7(\"x\", $i);"; done
	echo 'printf("%d\n", t); return 0; }'
} >prog.c
"""
case("gcc", "gcc binutils", r"""
gcc -O2 -g -Wall -c m0.c m1.c m2.c && gcc -O1 -flto -o prog prog.c m*.c &&
./prog && sha256sum m0.o m1.o m2.o
echo 'int main(void) { return undeclared; }' >bad.c; gcc -c bad.c; echo $?
""", setup=GENERATE_C)
case("clang", "clang", r"""
clang -O2 -c m0.c m1.c m2.c && clang -O1 -o prog prog.c m*.c && ./prog &&
sha256sum m0.o m1.o m2.o
echo 'int main(void) { return undeclared; }' >bad.c; clang -c bad.c; echo $?
""", setup=GENERATE_C)
case("g++", "g++", r"""
cat >a.cpp <<'EOF'
#include <algorithm>
#include <iostream>
#include <map>
#include <memory>
#include <memory_resource>
#include <new>
#include <regex>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>
struct alignas(128) Wide { char c[256]; };
struct Node { std::shared_ptr<Node> next; std::string text; };
static long work(int n)
{
	std::map<std::string, std::vector<int>> m;
	for (int i = 0; i < n; i++)
		m[std::to_string(i % 977)].push_back(i);
	long t = 0;
	for (auto &[k, v] : m)
		t += static_cast<long>(k.size() * v.size());
	std::vector<std::unique_ptr<Wide>> w;
	for (int i = 0; i < 300; i++) {
		w.push_back(std::make_unique<Wide>());
		if (reinterpret_cast<std::uintptr_t>(w.back().get()) % 128)
			throw std::logic_error("alignment");
	}
	auto list = std::make_shared<Node>();
	for (int i = 0; i < 1000; i++)
		list = std::make_shared<Node>(Node{list, std::string(i % 90, 'x')});
	while (list->next)
		t += static_cast<long>(list->text.size()), list = list->next;
	std::pmr::unsynchronized_pool_resource pool;
	std::pmr::vector<std::pmr::string> p(&pool);
	for (int i = 0; i < 500; i++)
		p.emplace_back("a pooled string that is not short");
	return t + static_cast<long>(p.size());
}
int main()
{
	std::vector<std::thread> ts;
	std::vector<long> out(8);
	for (size_t i = 0; i < out.size(); i++)
		ts.emplace_back([&out, i] { out[i] = work(10000 + static_cast<int>(i)); });
	for (auto &t : ts)
		t.join();
	for (long v : out)
		std::cout << v << '\n';
	for (int i = 0; i < 1000; i++)
		try { throw std::runtime_error(std::string(300, 'e')); }
		catch (const std::exception &e) { if (i == 999) std::cout << std::string(e.what()).size() << '\n'; }
	try { volatile size_t huge = ~size_t(0) >> 1; delete[] new char[huge]; }
	catch (const std::bad_alloc &e) { std::cout << e.what() << '\n'; }
	std::cout << (new (std::nothrow) char[~size_t(0) >> 2] == nullptr) << '\n';
	std::ostringstream s;
	for (int i = 0; i < 10000; i++)
		s << i << ' ';
	std::string text = s.str();
	std::regex re("(\\d+)7 ");
	std::cout << std::distance(std::sregex_iterator(text.begin(), text.end(), re), std::sregex_iterator()) << '\n';
	return 0;
}
EOF
g++ -std=c++17 -O1 -pthread -o a a.cpp && ./a
""")
case("make", "make gcc", r"""
cat >Makefile <<'EOF'
OBJS := $(patsubst %.c,%.o,$(wildcard *.c))
all: prog
prog: $(OBJS)
	@$(CC) -o $@ $^
%.o: %.c
	@$(CC) -O1 -c -o $@ $<
clean: ; @rm -f *.o prog
EOF
make -j4 && ./prog && make -j3 -s clean && make -j4 --output-sync=target prog
make -q && echo done; make nothing; echo $?
""", setup=GENERATE_C)
case("cmake", "cmake ninja-build gcc", r"""
cat >CMakeLists.txt <<'EOF'
cmake_minimum_required(VERSION 3.18)
project(x C)
file(GLOB S *.c)
add_executable(prog ${S})
enable_testing()
add_test(NAME runs COMMAND prog)
EOF
cmake -S . -B b -G Ninja >/dev/null && ninja -C b -j3 >/dev/null &&
ctest --test-dir b -Q && b/prog
""", setup=GENERATE_C)
case("binutils", "binutils gcc", r"""
gcc -g -O2 -c m*.c prog.c && ar rcD l.a m*.o && nm l.a | sha256sum &&
objdump -dS m0.o | sha256sum && ld.bfd -r -o all.o m*.o && size all.o &&
strip all.o && readelf -SW all.o | sha256sum && as --version | head -1
""", setup=GENERATE_C)


# -- tools -----------------------------------------------------------------

case("git", "git", r"""
export GIT_AUTHOR_DATE='2001-01-01T00:00:00Z' GIT_COMMITTER_DATE='2001-01-01T00:00:00Z'
export GIT_CONFIG_GLOBAL=$PWD/config GIT_CONFIG_NOSYSTEM=1
git config --global user.name n; git config --global user.email n@example.org
git config --global init.defaultBranch main; git config --global gc.auto 0
git config --global protocol.file.allow always; git config --global advice.detachedHead false
git init -q r && cd r || exit
for c in 1 2 3 4 5 6; do
	for f in $(seq 120); do seq $((f * c)) $((f * c + 200)) >f$f; done
	git add -A && git commit -q -m "commit $c" || exit
done
git checkout -q -b side HEAD~2 && seq 99 >extra && git add extra &&
git commit -q -m side && git merge -q -s ours -m merge main || exit
git repack -q -a -d -f --threads=2 && git gc -q --prune=now && git fsck --full --no-progress || exit
git log --format='%H %s' --graph; git diff --stat HEAD~1 | tail -1
git blame f7 | sha256sum; git grep -c 77 -- 'f1*' | head -5
cd .. && git clone -q "file://$PWD/r" c && cd c && git rev-list --all --objects | sort | sha256sum
git archive HEAD | sha256sum; git status --short
""", timeout=200)
case("sqlite3", "sqlite3", r"""
sqlite3 a.db <<'EOF'
PRAGMA journal_mode=WAL;
CREATE TABLE t(id INTEGER PRIMARY KEY, k TEXT, v BLOB);
BEGIN;
WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM c WHERE i < 60000)
INSERT INTO t SELECT i, 'k' || (i * 7919 % 10007), zeroblob(i % 300) FROM c;
COMMIT;
CREATE INDEX ti ON t(k, id);
ANALYZE;
SELECT count(DISTINCT k), sum(length(v)) FROM t;
SELECT k, count(*) c FROM t GROUP BY k ORDER BY c DESC, k LIMIT 5;
DELETE FROM t WHERE id % 3 = 0;
VACUUM;
PRAGMA integrity_check;
CREATE VIRTUAL TABLE f USING fts5(body);
INSERT INTO f SELECT k || ' word' || (id % 17) FROM t;
SELECT count(*) FROM f WHERE f MATCH 'word5';
SELECT json_group_array(k) FROM (SELECT k FROM t ORDER BY id LIMIT 5);
EOF
sqlite3 a.db .dump | sha256sum
""")
case("jq", "jq", r"""
seq 1 30000 | jq -c '{id: ., name: "n\(.)", tags: [range(. % 7)], deep: {a: {b: .}}}' >in
jq -s 'group_by(.tags | length) | map({n: length, s: (map(.deep.a.b) | add)})' in
jq -s -S 'map(select(.id % 11 == 0) | .name | ascii_upcase | test("7")) | map(select(.)) | length' in
jq . <<<'{"broken": '; echo $?
""")
case("gawk", "gawk", r"""
seq 1 200000 | gawk '{ n[$1 % 5003] += $1; s[$1 % 101] = s[$1 % 101] substr($0, 1, 3) }
END { PROCINFO["sorted_in"] = "@ind_num_asc"; for (k in n) t = (t * 31 + n[k]) % 1000003;
for (k in s) u += length(s[k]); print t, u; asort(n); print n[1], n[5003];
while ("echo a; echo b" | getline l) print l; printf "%s\n", gensub(/([0-9])/, "<\\1>", "g", "a1b2") }'
""")
case("text-tools", "sed grep coreutils diffutils findutils", r"""
seq 1 300000 | awk '{ print ($1 * 7919) % 300007, "line", $1 % 977 }' >in
sort -n -S 2M --parallel=2 in | sha256sum
sort -k3,3n -k1,1nr -s in | uniq -c -f 2 | head -3
sed -E 's/([0-9]+) line ([0-9]+)/\2:\1/; /7$/d' in | sha256sum
grep -c -E '(12|34).*5$' in; grep -o 'line 9[0-9]*' in | sort | uniq -c | sort -rn | head -3
cut -d' ' -f3 in | paste -sd+ | cut -c1-40; tr 0-9 a-j <in | fold -w 37 | tail -1
join <(sort in | head -2000) <(sort in | tail -n +1000 | head -2000) | wc -l
comm -12 <(sort in | head -500) <(sort in | head -900) | wc -l
split -n l/5 in part. && cat part.* | cmp - in && echo equal; ls | wc -l
sed 's/ line 5$/ LINE/' in | diff in - | wc -l
find . -name 'part.*' -print0 | sort -z | xargs -0 -P2 -n1 sha256sum | sort
shuf --random-source=in in | md5sum; factor 1234567890123457; od -A d -t x1 in | tail -1
head -c 1000000 /dev/zero | base64 | md5sum; printf '%s\n' "$(numfmt --to=iec 123456789)"
""")
NOISE = "seq 1 400000 | gzip -1n | cat - <(seq 1 900000) >in\n"
case("xz", "xz-utils", """
xz -T2 -6 --block-size=1MiB -k in && sha256sum in.xz && xz -T2 -dc in.xz | cmp - in && xz -t in.xz
head -c 9999 in.xz >bad.xz; xz -t bad.xz; echo $?; xz --format=lzma -1 -c in | sha256sum
""", setup=NOISE)
case("zstd", "zstd", """
zstd -q -T2 -9 in -o a.zst && sha256sum a.zst && zstd -q -dc a.zst | cmp - in
zstd -q --train -B4096 in -o dict --maxdict=8192 && sha256sum dict
zstd -q -D dict -19 --long=24 in -o b.zst && zstd -q -D dict --long=24 -dc b.zst | cmp - in; zstd -q -t in; echo $?
""", setup=NOISE)
case("bzip2", "bzip2 gzip", """
bzip2 -k in && sha256sum in.bz2 && bzip2 -dc in.bz2 | cmp - in; bzip2 -t in; echo $?
gzip -9nc in | tee in.gz | sha256sum; gzip -t in.gz; zcat in.gz | cmp - in
""", setup=NOISE)
case("tar", "tar xz-utils", r"""
mkdir -p d/e/f; for i in $(seq 300); do seq $i >d/e/f$i; ln -s f$i d/e/l$i; done
tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -cf a.tar d && sha256sum a.tar
tar -tvf a.tar | wc; mkdir x && tar -xf a.tar -C x && diff -r d x/d && echo equal
tar -cJf a.tar.xz d && tar -tf a.tar.xz | wc -l; tar -tf a.tar | head -2; head -c 9000 a.tar | tar -tf - | tail -1
tar -xf missing.tar; echo $?
""")
case("openssl", "openssl", r"""
seq 1 100000 >in
openssl dgst -sha256 in; openssl dgst -sha3-512 -hmac key in
openssl enc -aes-256-cbc -pbkdf2 -S 0011223344556677 -pass pass:x -in in -out e && sha256sum e &&
openssl enc -d -aes-256-cbc -pbkdf2 -S 0011223344556677 -pass pass:x -in e | cmp - in
openssl req -x509 -newkey rsa:2048 -nodes -keyout k -out c -days 1 -subj /CN=localhost 2>/dev/null
openssl x509 -in c -noout -subject -issuer; openssl verify -CAfile c c
openssl dgst -sha256 -sign k -out s in && openssl dgst -sha256 -verify <(openssl x509 -in c -noout -pubkey) -signature s in
openssl ecparam -genkey -name prime256v1 -noout | openssl ec -check -noout 2>&1 | tail -1
openssl s_server -accept 127.0.0.1:0 -cert c -key k -rev -naccept 3 >log 2>&1 & server=$!
await grep -q ^ACCEPT log; port=$(sed -n 's/^ACCEPT .*://p' log)
for i in 1 2 3; do printf 'abc%s\nCLOSE\n' $i | openssl s_client -connect 127.0.0.1:$port -quiet -CAfile c -servername localhost 2>/dev/null; done
wait $server; echo $?
""")
case("ghostscript", "ghostscript", r"""
cat >a.ps <<'EOF'
%!PS
/Times-Roman findfont 24 scalefont setfont
1 1 30 { /n exch def 72 n 22 mul moveto n 10 string cvs show
n 30 div 0 1 n 30 div sub setrgbcolor 200 n 20 mul 100 10 rectfill } for
0 setgray newpath 300 400 100 0 360 arc stroke showpage
/Helvetica findfont 12 scalefont setfont 72 700 moveto (second page) show showpage
EOF
gs -q -dNOPAUSE -dBATCH -dSAFER -sDEVICE=pdfwrite -sOutputFile=a.pdf a.ps || exit
gs -q -dNOPAUSE -dBATCH -sDEVICE=txtwrite -sOutputFile=- a.pdf
gs -q -dNOPAUSE -dBATCH -sDEVICE=ppmraw -r72 -sOutputFile=p%d.ppm a.pdf && sha256sum p*.ppm
gs -q -dNOPAUSE -dBATCH -dNumRenderingThreads=3 -dBandHeight=100 -sDEVICE=ppmraw -r150 -sOutputFile=- a.pdf | sha256sum
echo '(x) undefinedword' | gs -q -dBATCH -sDEVICE=nullpage -; echo $?
""")
case("ffmpeg", "ffmpeg", r"""
F='ffmpeg -nostdin -hide_banner -loglevel error -y'
$F -f lavfi -i testsrc=d=2:s=320x240:r=25 -f lavfi -i sine=d=2 -c:v libx264 -threads 3 -preset fast -c:a aac -flags +bitexact -fflags +bitexact a.mkv || exit
sha256sum a.mkv; $F -i a.mkv -vf scale=160:120,hue=s=0.5 -f framemd5 - | tail -3
$F -i a.mkv -c:v mpeg4 -threads 2 -c:a flac -flags +bitexact -fflags +bitexact b.avi && sha256sum b.avi
ffprobe -v error -show_entries stream=codec_name,width,nb_frames -of json a.mkv
$F -i missing.mkv -f null -; echo $?
""", timeout=200)
case("iconv", "libc-bin coreutils", r"""
for c in ISO-8859-1 UTF-16LE SHIFT_JIS EUC-KR GB18030 BIG5-HKSCS; do
	seq 1 20000 | sed 's/$/ text/' | iconv -t $c | iconv -f $c -t UTF-8 | md5sum
done
printf '\303\244\303\266\n' | iconv -f UTF-8 -t ASCII//TRANSLIT; iconv -f UTF-8 -t nonsense; echo $?
LC_ALL=nonsense sort <<<"b
a"; LC_ALL=C.UTF-8 date -u -d @0; getent passwd root; getconf PAGESIZE
""")
case("shells", "bash dash", r"""
cat >s.sh <<'EOF'
n=0; while [ $n -lt 300 ]; do n=$((n + 1)); x="$x-$n"; done; echo ${#x}
seq 1 20000 | grep 7 | sort -rn | head -3; (exit 3); echo $?
f() { [ $1 -le 1 ] && echo 1 && return; echo $(($1 * $(f $(($1 - 1))))); }; f 10
trap 'echo trapped' TERM; kill -TERM $$; trap - TERM; (kill -TERM 0) 2>/dev/null &
cat <<END | tr a-z A-Z
here $x
END
sleep 0.1 & a=$!; false & b=$!; wait $a; echo $?; wait $b; echo $?
exec 7>f; echo seven >&7; exec 7>&-; cat f; set -- a 'b c'; for i; do echo "$i"; done
ulimit -n; umask; exit 7
EOF
sed -i 's/ (kill -TERM 0) 2>.dev.null &//' s.sh
bash s.sh; echo $?; dash s.sh; echo $?
bash -c 'declare -A m; for i in {1..5000}; do m[k$i]=v$i; done; echo ${#m[@]} ${m[k77]}
mapfile -t l < <(seq 5000); echo ${#l[@]}; coproc cat; echo hi >&${COPROC[1]}; read -u ${COPROC[0]} r; echo $r
exec {COPROC[1]}>&-; printf "%s\n" {a..e}{1..9} | md5sum; [[ abc =~ (b)(.) ]] && echo ${BASH_REMATCH[2]}' 2>&1
bash -c 'kill -SEGV $$'; echo $?; bash -c 'ulimit -f 1; head -c 99999 /dev/zero >big'; echo $?
""")
case("curl", "curl python3", r"""
mkdir www; seq 1 100000 >www/a; head -c 300000 /dev/zero >www/b
/usr/bin/python3 -u -m http.server -b 127.0.0.1 -d www 0 >log 2>/dev/null & server=$!
await grep -q port log; port=$(sed -n 's/.*port \([0-9]*\).*/\1/p' log)
curl -sS "http://127.0.0.1:$port/a" | md5sum
curl -Z --no-progress-meter -o a "http://127.0.0.1:$port/a" -o b "http://127.0.0.1:$port/b" && md5sum a b
curl -sS -o /dev/null -w '%{http_code} %{size_download}\n' "http://127.0.0.1:$port/missing"
kill $server; wait $server 2>/dev/null; echo $?
curl -sS "file://$PWD/www/a" | md5sum; curl -sS nonsense://x; echo $?
""")
case("gpg", "gpg gpg-agent", r"""
mkdir -m 700 g; export GNUPGHOME=$PWD/g; seq 1 50000 >in
gpg --batch -q --passphrase x --pinentry-mode loopback --symmetric -o e in && gpg --batch -q --passphrase x --pinentry-mode loopback -d e | cmp - in && echo equal
gpg --batch -q --print-md SHA512 in; gpg --batch -q -d in 2>/dev/null; echo $?
gpgconf --kill all
""")


# -- servers: loopback and Unix sockets only, ended by process number ------

case("postgres", "postgresql-15|postgresql postgresql-client-15|postgresql-client", r"""
PG=$(ls -d /usr/lib/postgresql/*/bin | tail -1); mkdir pg; [ "$(id -u)" != 0 ] || chown 65534 pg
export HOME=$PWD/pg TMPDIR=$PWD/pg PGHOST=$PWD/pg PGUSER=gostat PGDATABASE=postgres
cd pg
$unprivileged $PG/initdb -D $PWD/data -A trust --no-sync -U gostat --locale=C.UTF-8 -E UTF8 >log 2>&1 || { cat log; exit 1; }
$unprivileged $PG/postgres -D $PWD/data -c listen_addresses= -c unix_socket_directories=$PWD -c fsync=off -c autovacuum=off -c shared_buffers=16MB >log 2>&1 & server=$!
await $PG/pg_isready || { cat log; exit 1; }
$PG/psql -qX -v ON_ERROR_STOP=1 <<'EOF'
CREATE TABLE t AS SELECT i AS id, 'k' || i % 997 AS k, repeat('x', i % 200) AS v FROM generate_series(1, 100000) i;
CREATE INDEX ON t (k);
SET max_parallel_workers_per_gather = 2; SET parallel_setup_cost = 0; SET min_parallel_table_scan_size = 0;
SELECT count(*), sum(length(v)) FROM t;
SELECT k, count(*) FROM t GROUP BY k ORDER BY 2 DESC, 1 LIMIT 4;
SET work_mem = '64kB'; SELECT md5(string_agg(v, '' ORDER BY k, id)) FROM t;
CREATE FUNCTION f(n int) RETURNS bigint LANGUAGE plpgsql AS 'DECLARE s bigint := 0; BEGIN FOR i IN 1..n LOOP s := s + length(repeat(''y'', i % 50)); END LOOP; RETURN s; END';
SELECT f(100000);
SELECT jsonb_agg(x) FROM (SELECT id, k FROM t ORDER BY id LIMIT 3) x;
VACUUM FULL ANALYZE t;
EOF
$PG/pgbench -i -q -s 1 2>/dev/null >&2; $PG/pgbench -c 4 -j 2 -t 300 --random-seed=1 2>/dev/null | grep -E 'processed|failed'
$PG/psql -qXAt -c 'SELECT sum(abalance) - (SELECT sum(delta) FROM pgbench_history), (SELECT count(*) FROM pgbench_history) FROM pgbench_accounts'
$PG/psql -qX -c 'SELECT 1/0'; echo $?; $PG/pg_dump -t t | wc -l
kill -TERM $server; wait $server; echo $?; grep -E 'terminated by|PANIC' log
exit 0
""", timeout=300)
case("redis", "redis-server redis-tools", r"""
redis-server --port 0 --unixsocket $PWD/r.sock --save '' --dir $PWD --io-threads 2 >log 2>&1 & server=$!
R="redis-cli -s $PWD/r.sock"
await $R ping || { cat log; exit 1; }
for i in $(seq 20000); do echo "SET key:$i $(printf '%*s' $((i % 90)) x)"; done | $R --pipe | grep -E 'errors|ERR'
redis-benchmark -s $PWD/r.sock -q -n 10000 -c 20 -P 4 -t set,get,incr,lpush,rpop,sadd,hset,spop,zadd,lrange_100,mset >/dev/null; echo $?
$R flushdb; for i in $(seq 3000); do echo "HSET h$((i % 50)) f$i $i"; echo "ZADD z $((i * 7919 % 3001)) m$i"; echo "RPUSH l$((i % 9)) $i"; done | $R --pipe | tail -1
$R dbsize; $R zrange z 0 5; $R hlen h7; $R sort l3 limit 0 3 desc; $R eval 'local t = {} for i = 1, 20000 do t[i] = tostring(i) end return #table.concat(t)' 0
$R memory purge; $R memory usage h7; $R object encoding h7; $R debug digest; $R bgsave
await $R --raw lastsave; await test -s dump.rdb; redis-check-rdb dump.rdb | grep -c RDB
$R debug reload; $R debug digest; $R expire z 1000; $R config set maxmemory 900kb; $R set big "$(head -c 100000 /dev/zero | tr '\0' x)"; $R nonsense
kill $server; wait $server; echo $?; grep -c 'ready to exit' log
""", normalize=[(r"^\d{3,4}$", "N")], timeout=200)
case("memcached", "memcached python3", r"""
mkdir -m 777 d; $unprivileged memcached -s $PWD/d/m.sock -a 0777 -m 16 -t 4 >log 2>&1 & server=$!
await test -S d/m.sock || { cat log; exit 1; }
/usr/bin/python3 - <<'EOF'
import socket, threading, hashlib
def talk(k, out):
    s = socket.socket(socket.AF_UNIX); s.connect("d/m.sock"); f = s.makefile("rwb")
    for i in range(1500):
        v = (b"%d" % i) * (i % 400)
        f.write(b"set k%d:%d 0 0 %d\r\n%s\r\n" % (k, i, len(v), v)); f.flush()
        assert f.readline() == b"STORED\r\n"
    h = hashlib.md5()
    for i in range(1400, 1500):
        f.write(b"get k%d:%d\r\n" % (k, i)); f.flush()
        n = int(f.readline().split()[3]); h.update(f.read(n + 2)); assert f.readline() == b"END\r\n"
    for line in (b"delete k%d:7" % k, b"incr nothing 1", b"bogus", b"touch k%d:1499 9" % k):
        f.write(line + b"\r\n"); f.flush(); h.update(f.readline())
    out[k] = h.hexdigest()
out = {}
ts = [threading.Thread(target=talk, args=(k, out)) for k in range(6)]
[t.start() for t in ts]; [t.join() for t in ts]
print(sorted(out.values()))
EOF
kill $server; wait $server; echo $?
""")
case("nginx", "nginx|nginx-light|nginx-full curl", r"""
mkdir www logs; chmod 755 www; for i in 1 2 3; do seq 1 $((i * 30000)) >www/$i.txt; done
cat >n.conf <<EOF
daemon off; worker_processes 2; pid $PWD/pid; error_log $PWD/logs/error.log notice;
events { worker_connections 64; }
http { access_log $PWD/logs/access.log; gzip on; gzip_types text/plain; gzip_min_length 10;
client_body_temp_path $PWD/tmp1; proxy_temp_path $PWD/tmp2; fastcgi_temp_path $PWD/tmp3; uwsgi_temp_path $PWD/tmp4; scgi_temp_path $PWD/tmp5;
server { listen unix:$PWD/n.sock; default_type text/plain; root $PWD/www; location /p/ { proxy_pass http://unix:$PWD/n.sock:/; } location /e { return 418; } } }
EOF
[ "$(id -u)" != 0 ] || sed -i '1s/^/user nobody nogroup; /' n.conf
N="nginx -p $PWD -c $PWD/n.conf -e $PWD/logs/error.log"
$N -t 2>/dev/null; echo $?; $N & server=$!
get() { curl -sS --unix-socket $PWD/n.sock "$@"; }
await get http://x/1.txt
for i in 1 2 3; do get http://x/$i.txt | md5sum; get --compressed http://x/p/$i.txt | md5sum; done
get -o /dev/null -w '%{http_code}\n' http://x/missing; get -w '%{http_code}\n' http://x/e
for i in 1 2 3; do kill -HUP $server; sleep 0.3; get http://x/2.txt | md5sum; done
for i in $(seq 40); do get -o /dev/null http://x/3.txt & done; wait $(jobs -p | grep -v $server)
get -r 100-199 http://x/1.txt | md5sum; kill -QUIT $server; wait $server; echo $?
grep -c 'exited on signal' logs/error.log
exit 0
""")


# -- under other tools -----------------------------------------------------

case("gdb", "gdb", r"""
gdb -nx -batch -iex 'set auto-load no' -iex 'set debuginfod enabled off' -ex 'break inner' -ex run -ex bt -ex 'print *head' \
	-ex finish -ex 'print *head->next' -ex delete -ex continue $BIN/debuggee 2>&1
""", normalize=[HEX, (r"(process|LWP) \d+", r"\1 N")],
     needs="gdb -nx -batch -ex run /bin/true 2>&1 | grep -q 'exited normally'")
case("valgrind-callgrind", "valgrind", r"""
valgrind --tool=callgrind --callgrind-out-file=cg $BIN/debuggee 2>/dev/null; echo $?; grep -c ^totals: cg
""", timeout=200)
case("valgrind-memcheck", "valgrind", r"""
valgrind -q --error-exitcode=9 $BIN/debuggee; echo $?
""", timeout=200)
case("valgrind-none", "valgrind python3", r"""
valgrind --tool=none -q $BIN/threads; echo $?
""", timeout=300)
case("strace", "strace", r"""
strace -f -c -o table $BIN/debuggee; echo $?; grep -c total table
strace -f -o log -e trace=exit_group $BIN/threads; grep -c exit_group log
""", needs="strace -o /dev/null true")
case("timeout", "coreutils", r"""
timeout 0.5 sleep 60; echo $?; timeout -s INT 0.5 sleep 60; echo $?
timeout --preserve-status -k 1 5 sh -c 'trap "" TERM; sleep 60'; echo $?
sleep 60 & kill -TERM $!; wait $!; echo $?; sleep 60 & kill -KILL $!; wait $!; echo $?
for s in HUP INT ALRM ABRT FPE PIPE USR2 QUIT; do sh -c "kill -$s \$\$"; echo $?; done 2>/dev/null
nohup nice -n 5 true; echo $?; stdbuf -o0 echo out; yes | head -2
""")


# -- the process and its limits: small programs of this folder -------------

case("address-space-limit", "python3", r"""
ulimit -v 400000
/usr/bin/python3 -c '
d = {i: str(i) * 5 for i in range(200000)}
try:
    x = bytearray(1 << 30)
except MemoryError:
    print("refused")
print(len(d), sum(map(len, d.values())))
import threading
t = [threading.Thread(target=lambda: [str(i) for i in range(20000)]) for _ in range(4)]
[x.start() for x in t]; [x.join() for x in t]
try:
    y = []
    while True: y.append("x" * 1000003 + str(len(y)))
except MemoryError:
    n = len(y); del y; print(n > 100)
print(len([0] * 1000000))
'
perl -e '@a = map { "x" x 100 } 1 .. 100000; print scalar(@a), "\n"'; ls / >/dev/null; echo $?
""")
case("user-namespace", "util-linux", r"""
unshare -Ur id -u; unshare -Urpf --mount-proc sh -c 'echo $$; set -- /proc/[0-9]*; echo $#'
unshare -Urn ls /sys/class/net 2>/dev/null | head -1; $BIN/threads; unshare -Ur $BIN/threads
$BIN/unshared; echo $?
""", needs="unshare -Ur true && unshare -Urpf --mount-proc true")
case("seccomp-strict", "coreutils", "$BIN/seccomp strict; echo $?")
case("seccomp-filter", "coreutils", "$BIN/seccomp filter; echo $?")
case("vfork", "coreutils", "$BIN/spawn vfork; echo $?; $BIN/spawn posix_spawn; "
     "echo $?; $BIN/spawn system; echo $?; $BIN/spawn clone; echo $?")
case("lowest", "coreutils", "$BIN/lowest; echo $?")
case("execs", "coreutils", "$BIN/execs; echo $?")
case("fork-threads", "coreutils", "$BIN/forks; echo $?", timeout=200)
case("closed-descriptors", "coreutils", "$BIN/closed seen; echo $?; cat seen")
case("chroot", "coreutils util-linux",
     "mkdir box; unshare -Ur $BIN/boxed $PWD/box; echo $?; ls box",
     needs="unshare -Ur true")
case("empty-environment", "coreutils", r"""
env -i /bin/sh -c 'echo $PATH; /bin/ls / | wc -l'; env -i /usr/bin/env; (exec -c env | grep -v '^_='); env -u LD_PRELOAD ls / | wc -l
env - $BIN/threads
""")
case("visible-state", "coreutils", "$BIN/state; echo $?; cd /; env -C / $BIN/state | tail -3")
case("errno", "coreutils", "$BIN/errno; echo $?")
case("deepbind", "libc6", "$BIN/deepbind; echo $?")
case("abort", "coreutils", r"""
$BIN/ends abort; echo $?; $BIN/ends segv; echo $?; $BIN/ends exit; echo $?; $BIN/ends quick; echo $?
$BIN/ends _exit; echo $?; $BIN/ends thread; echo $?; $BIN/ends last; echo $?; $BIN/ends exec; echo $?
""")
case("signals", "coreutils", "$BIN/signals; echo $?")
case("coroutines", "coreutils", "$BIN/coroutines; echo $?")
