# SPDX-License-Identifier: MIT
# Each way to misuse the heap: one line that says which, the stack of the call
# (or that it is too late to know), then SIGABRT.
set -u
ulimit -c 0
failed=0

# What the line must say, by name.
expected() {
	case $1 in
	twice_10m | apart_10m | free_page | inside_free_page)
		echo 'free of @: no object is there' ;;
	twice_* | apart_* | flush_* | thread_*)
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
	realloc_freed_100) echo 'realloc of @: freed before (112 bytes)' ;;
	realloc_freed_10m) echo 'realloc of @: no object is there' ;;
	realloc_interior) echo 'realloc of @: points 16 bytes into the object' ;;
	realloc_static) echo 'realloc of @: points into static data of' ;;
	*) echo 'no such case' ;;
	esac | sed 's/@/0x[0-9a-f]*/g'
}

for name in $("$BIN/misuse"); do
	LD_PRELOAD=$LIB "$BIN/misuse" "$name" >out 2>err
	status=$?
	if [ $status != 134 ] || [ "$(grep -c '^gostat: ' err)" != 1 ] ||
		! grep -q "^gostat: $(expected "$name")" err ||
		! grep -qE '^    (#[0-9]* 0x.* in (main|thread_[a-z]*)\+|\(found when)' \
			err; then
		echo "$name: status $status, expected: $(expected "$name"), said:"
		cat err
		failed=1
	fi
done
exit $failed
