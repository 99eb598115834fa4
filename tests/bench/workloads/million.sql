-- A million rows in memory, and an index.
CREATE TABLE reading(id INTEGER PRIMARY KEY, place TEXT, value REAL, note TEXT);
BEGIN;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n
	WHERE i < 1000000)
INSERT INTO reading SELECT i, 'place ' || (i * 7919 % 5003), i / 8.0,
	printf('%d-%x', i, i * 2654435761 % 4294967296) FROM n;
COMMIT;
CREATE INDEX place ON reading(place, note);
SELECT count(*), min(note), max(note), sum(value) FROM reading
	WHERE place >= 'place 4';
