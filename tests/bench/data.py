# SPDX-License-Identifier: MIT
"""Input files for the whole-program rows: made once, the same every time.

Each maker takes a random generator and a scale (1.0 for a full run) and
returns the text. path() writes it to the cache folder under a name that holds
the scale; a half-written file is never seen, since it is renamed into place.
"""
import json
import os
import random
from string import ascii_lowercase


def word(rng, low=3, high=12):
    return "".join(rng.choices(ascii_lowercase, k=rng.randint(low, high)))


def c_function(rng, number):
    """One C function that keeps an optimizer busy for a moment."""
    names = [word(rng, 3, 8) + str(i) for i in range(5)]
    a, b, c, d, e = names
    cases = "\n".join(
        f"\t\tcase {i * rng.randint(2, 5)}u * {i} + {i}u:\n"
        f"\t\t\t{c} += {a} * {rng.randint(3, 99)}u ^ {d};\n\t\t\tbreak;"
        for i in range(1, 5))
    callee = f"work{rng.randrange(number)}(p, {c} & 7u)" if number else "1u"
    return f"""
struct item{number} {{
	unsigned {a}, {b}[8];
	const char *{e};
	struct item{number} *next;
}};

static unsigned {e}_sum{number}(const struct item{number} *p, unsigned {d})
{{
	unsigned {c} = {rng.randint(1, 999)}u;

	for (unsigned i = 0; i < 8; i++) {{
		if (p->{b}[i] > {d})
			{c} += p->{b}[i] * i;
		else
			{c} = ({c} << {rng.randint(1, 7)}) ^ p->{a};
	}}
	return p->{e} ? {c} : ~{c};
}}

unsigned work{number}(const void *p, unsigned {d})
{{
	struct item{number} x = {{ .{a} = {d}, .{e} = "{word(rng, 8, 30)}" }};
	unsigned {a} = {d}, {c} = 0;

	for (unsigned i = 0; i < {rng.randint(5, 40)}u; i++) {{
		x.{b}[i & 7u] = {a} + i * {rng.randint(3, 77)}u;
		switch ({a} % {rng.randint(11, 31)}u) {{
{cases}
		default:
			{a} = {a} / {rng.randint(3, 9)}u + {c};
		}}
	}}
	if ({d} > {rng.randint(8, 40)}u)
		return {e}_sum{number}(&x, {c});
	return {c} + {callee};
}}
"""


def c_source(rng, scale):
    return "".join(c_function(rng, i) for i in range(max(10, int(90 * scale))))


def sql(rng, scale):
    out = [
        "CREATE TABLE person"
        "(id INTEGER PRIMARY KEY, name TEXT, town TEXT, born INT);",
        "CREATE TABLE letter(sender INT, receiver INT, body TEXT);",
        "BEGIN;",
    ]
    people = int(7000 * scale)
    towns = [word(rng, 5, 14) for _ in range(200)]
    for i in range(people):
        name = word(rng) + " " + word(rng)
        out.append(f"INSERT INTO person VALUES({i},'{name}',"
                   f"'{rng.choice(towns)}',{rng.randint(1920, 2010)});")
    for _ in range(3 * people):
        body = word(rng, 5, 40) * rng.randint(1, 12)
        out.append(f"INSERT INTO letter VALUES({rng.randrange(people)},"
                   f"{rng.randrange(people)},'{body}');")
    out += [
        "COMMIT;",
        "CREATE INDEX town ON person(town, born);",
        "CREATE INDEX sent ON letter(sender);",
        "SELECT town, count(*), avg(born) FROM person GROUP BY town"
        " ORDER BY 2 DESC, 1 LIMIT 5;",
        "SELECT p.town, sum(length(l.body)) FROM person p JOIN letter l"
        " ON l.sender = p.id GROUP BY p.town ORDER BY 2 DESC, 1 LIMIT 5;",
        "SELECT count(*), group_concat(substr(name, 1, 2), '') FROM"
        " (SELECT name FROM person ORDER BY name LIMIT 40);",
        "UPDATE person SET name = upper(name) || '-' || town"
        " WHERE born % 3 = 0;",
        "DELETE FROM letter WHERE receiver % 4 = 1;",
        "SELECT count(DISTINCT body), max(length(body)) FROM letter;",
    ]
    for town in towns[:60]:
        out.append("SELECT count(*), min(name) FROM person"
                   f" WHERE town = '{town}' AND born > 1960;")
    return "\n".join(out) + "\n"


def access_log(rng, scale):
    hosts = [f"10.{i % 7}.{i % 251}.{i % 13}" for i in range(3000)]
    parts = [word(rng, 3, 14) for _ in range(600)]
    lines = []
    for i in range(int(130000 * scale)):
        path = "/" + "/".join(rng.choices(parts, k=rng.randint(1, 4)))
        status = rng.choice((200, 200, 200, 304, 404))
        lines.append(f"{rng.choice(hosts)} {i} GET {path} {status} "
                     f"{rng.randint(100, 90000)}")
    return "\n".join(lines) + "\n"


def json_documents(rng, scale):
    return json.dumps([
        {"id": i, "name": f"{word(rng)} {word(rng)}",
         "tags": [word(rng, 3, 6) for _ in range(6)],
         "size": [rng.randint(0, 999) for _ in range(6)],
         "more": {"note": word(rng, 20, 60), "ok": bool(i & 1)}}
        for i in range(int(9000 * scale))])


def redis_commands(rng, scale):
    """A stream of pipelined commands, cut in batches at empty lines.

    Plain words, one command a line; redis_load.py puts them on the wire.
    """
    lines = []
    keys = int(20000 * scale)
    for i in range(int(260000 * scale)):
        key, kind = rng.randrange(keys), rng.randrange(100)
        if kind < 35:
            lines.append(f"SET s{key} {'v' * rng.randint(8, 600)}")
        elif kind < 55:
            lines.append(f"GET s{key}")
        elif kind < 65:
            lines.append(f"HSET h{key % 2000} f{rng.randrange(40)} "
                         f"{'h' * rng.randint(4, 90)}")
        elif kind < 73:
            lines.append(f"LPUSH l{key % 500} {'l' * rng.randint(4, 120)}")
        elif kind < 78:
            lines.append(f"RPOP l{key % 500}")
        elif kind < 86:
            lines.append(f"ZADD z{key % 300} {rng.randrange(10000)} m{key}")
        elif kind < 91:
            lines.append(f"APPEND a{key % 1000} {'a' * rng.randint(1, 40)}")
        elif kind < 97:
            lines.append(f"DEL s{key}")
        else:
            lines.append(f"LRANGE l{key % 500} 0 20")
        if i % 200 == 199:
            lines.append("")
    return "\n".join(lines) + "\n"


def redis_fill(rng, scale):
    """Commands that only add, in the same form."""
    lines = []
    for i in range(int(400000 * scale)):
        lines.append((
            f"SET s{i} {'v' * rng.randint(8, 60)}",
            f"LPUSH l{i % 4000} {'l' * rng.randint(4, 60)}",
            f"HSET h{i % 4000} f{i} {'h' * rng.randint(4, 60)}",
            f"ZADD z{i % 4000} {rng.randrange(100000)} m{i}")[i % 4])
        if i % 200 == 199:
            lines.append("")
    return "\n".join(lines) + "\n"


MAKERS = {
    "source.c": c_source,
    "tables.sql": sql,
    "access.log": access_log,
    "documents.json": json_documents,
    "redis.txt": redis_commands,
    "fill.txt": redis_fill,
}


def path(folder, name, scale):
    """The file of this name and scale in folder, made if it is missing."""
    os.makedirs(folder, exist_ok=True)
    base, ext = os.path.splitext(name)
    file = os.path.join(folder, f"{base}-{scale:g}{ext}")
    if not os.path.exists(file):
        part = f"{file}.{os.getpid()}"
        with open(part, "w", encoding="ascii") as out:
            out.write(MAKERS[name](random.Random(name), scale))
        os.rename(part, file)
    return file
