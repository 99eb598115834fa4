#!/bin/bash
# SPDX-License-Identifier: MIT
#
# The include rule: base < os < profile < alloc < gc < observe < preload. A
# file includes its own layer and those to the left; tools/ includes base/ and
# what writes formats, never the allocator.
#
#	scripts/check-layers.sh		silent, or one line for each offence
set -u
export LC_ALL=C
top=$(readlink -f "$0")
cd "${top%/*/*}" || exit 1

find runtime preload tools -name '*.[ch]' -o -name '*.def' | sort |
	xargs awk '
	BEGIN {
		n = split("base os profile alloc gc observe preload", l, " ")
		for (i = 1; i <= n; i++)
			rank[l[i]] = i
		# What a tool shares with the library: formats only.
		split("emit metrics memstats pprof protowire gzstore intern " \
			"http", f, " ")
		for (i in f)
			format["observe/" f[i] ".h"] = 1
	}
	FNR == 1 {
		split(FILENAME, part, "/")
		layer = part[1] == "runtime" ? part[2] : part[1]
	}
	function offence(why)
	{
		print FILENAME ":" FNR ": " why ": " $0
		bad = 1
	}
	/^[ \t]*#[ \t]*include[ \t]*"/ {
		split($0, quoted, "\"")
		name = quoted[2]
		split(name, of, "/")
		files++
		if (name == "gostat.h" && layer != "base")
			next
		if (layer == "tools") {
			if (name !~ /\// || of[1] == "tools" ||
			    of[1] == "base" || name in format)
				next
			offence("a tool may not include this")
		} else if (!(layer in rank)) {
			if (layer != "include")
				offence("a file outside of the layers")
		} else if (!(of[1] in rank) || name !~ /\//) {
			offence("no layer named")
		} else if (rank[of[1]] > rank[layer]) {
			offence("an upward include")
		}
	}
	END {
		if (!bad)
			print "check-layers: " files " includes"
		exit bad
	}'
