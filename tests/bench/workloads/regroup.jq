# SPDX-License-Identifier: MIT
# Group documents by tag, rewrite them and print a digest of the result.
[ .[] | . as $doc | .tags[] | { tag: .[0:2], id: $doc.id, name: $doc.name } ]
| group_by(.tag)
| map({
	tag: .[0].tag,
	ids: (map(.id) | unique),
	names: (map(.name | split(" ") | .[0]) | unique | join(","))
  })
| { groups: length, ids: (map(.ids | length) | add),
    letters: (map(.names | length) | add) }
| "check \(.groups)-\(.ids)-\(.letters)"
