# SPDX-License-Identifier: MIT
# Each way to misuse the heap: one line that says which, the stack of the call
# (or that it is too late to know), then SIGABRT. Twice: as it is, and with
# GOSTAT_HARDEN=1, which finds more, and nothing late that it can find at once.
set -u
ulimit -c 0
failed=0

# As it is, or hardened.
either() { if [ -z "$harden" ]; then echo "$1"; else echo "$2"; fi; }

# What the line must say, by name.
expected() {
	case $1 in
	twice_10m | apart_10m | free_page) echo 'double free of @' ;;
	inside_free_page)
		either 'free of @: no object is there' 'free of @: points' ;;
	twice_* | apart_* | flush_* | thread_* | harden_twice)
		echo 'double free of @ (' ;;
	interior_1_* | interior_1)
		echo 'free of @: points 1 byte into the object of [0-9]* bytes at @' ;;
	interior_4096) echo 'free of @: points 4096 bytes into the object' ;;
	interior_8192_*) echo 'free of @: points 8192 bytes into the object' ;;
	interior_8) echo 'free of @: points 8 bytes into the object' ;;
	interior_16*) echo 'free of @: points 16 bytes into the object' ;;
	stack | other_stack) echo 'free of @: points into the stack' ;;
	code) echo "free of @: points into the code of $BIN/misuse" ;;
	libc_code) echo 'free of @: points into the code of .*libc' ;;
	data | bss | blob | constant)
		echo "free of @: points into static data of $BIN/misuse" ;;
	small_*) echo 'free of @: a small number' ;;
	negative | noncanonical) echo 'free of @: not an address' ;;
	other_mapping | no_access)
		echo 'free of @: points into a mapping that malloc did not make' ;;
	shared_mapping) echo 'free of @: points into a shared mapping' ;;
	unmapped) echo 'free of @: never allocated, nothing is mapped there' ;;
	realloc_freed_100) echo 'realloc of @: freed before (1[01][02] bytes)' ;;
	realloc_freed_10m) echo 'realloc of @: freed before' ;;
	realloc_interior) echo 'realloc of @: points 16 bytes into the object' ;;
	realloc_static) echo 'realloc of @: points into static data of' ;;
	harden_uaf_48)
		echo 'use after free: write to @, 40 bytes into the freed object of 48 bytes at @' ;;
	harden_uaf_5000)
		echo 'use after free: write to @, 4999 bytes into the freed object of 5000 bytes' ;;
	harden_uaf_churn)
		echo 'use after free: write to @, 24 bytes into the freed object of 48 bytes' ;;
	harden_past_33)
		echo 'heap overflow: write to @, 14 bytes past the end of the object of 33 bytes at @' ;;
	harden_past_realloc)
		echo 'heap overflow: write to @, 0 bytes past the end of the object of 33 bytes' ;;
	harden_past_*)
		echo 'heap overflow: write to @, 0 bytes past the end of the object of' ;;
	harden_sized)
		echo 'free of @ with a size of 104: the object has 100 bytes' ;;
	harden_sized_64k)
		echo 'free of @ with a size of 60000: the object has 65536 bytes' ;;
	*) echo 'no such case' ;;
	esac | sed 's/@/0x[0-9a-f]*/g'
}

complain() { # name, what was expected
	echo "${harden:+GOSTAT_HARDEN=1 }$1: status $status, expected: $2, said:"
	cat out err
	failed=1
}

# May be found later than it happens.
may_be_late() {
	case $1 in
	harden_uaf_* | harden_past_*) true ;;
	*) [ -z "$harden" ] ;;
	esac
}

misuse() {
	GOSTAT_HARDEN=${harden:-0} LD_PRELOAD=$LIB "$BIN/misuse" "$1" >out 2>err
	status=$?
	case $1 in
	harden_*_guard | harden_uaf_64k | harden_uaf_10m) # the kernel tells
		[ $status = 139 ] && ! grep -q gostat err || complain "$1" SIGSEGV
		return ;;
	esac
	[ $status = 134 ] && [ "$(grep -c '^gostat: ' err)" = 1 ] &&
		grep -q "^gostat: $(expected "$1")" err ||
		complain "$1" "$(expected "$1")"
	grep -qE '^    #[0-9]* 0x.* in (main|thread_[a-z]*)\+' err ||
		{ may_be_late "$1" && grep -q '^    (it happened earlier' err; } ||
		complain "$1" "a stack"
	! grep -q 'not found' out || complain "$1" "to be found sooner"
}

for harden in "" 1; do
	for name in $("$BIN/misuse"); do
		case $harden$name in
		harden_*) ;;
		*) misuse "$name" ;;
		esac
	done
done

# Where the allocation was seen, its stack follows.
GOSTAT_HARDEN=1 GOSTAT_PROFILE_RATE=1 LD_PRELOAD=$LIB \
	"$BIN/misuse" harden_past_33 2>err
sed -n '/allocated by:/,$p' err | grep -q ' in .*\(get\|main\)' || {
	cat err
	failed=1
}
exit $failed
