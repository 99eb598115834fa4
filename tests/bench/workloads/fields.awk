# SPDX-License-Identifier: MIT
# fields.awk: totals by address and path of an access log, strings built up.
{
	hits[$1]++
	bytes[$4] += $6
	trail[$1] = trail[$1] " " substr($4, 2, 12)
	n = split($4, part, "/")
	for (i = 2; i <= n; i++)
		seen[part[i], $5]++
	if (length(trail[$1]) > 400)
		delete trail[$1]
}

END {
	for (key in hits)
		check += hits[key] * length(trail[key])
	for (key in bytes)
		total += bytes[key] % 1000003
	for (key in seen)
		pairs += seen[key]
	printf "check %d-%d-%d\n", check, total, pairs
}
