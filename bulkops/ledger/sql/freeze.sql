-- name: insert_row
INSERT INTO operation (api, content, ref, line) VALUES (?, ?, ?, ?)

-- name: insert_invalid
INSERT INTO invalid (file, line, "column", message, cells) VALUES (?, ?, ?, ?, ?)

-- name: insert_api
INSERT INTO api (id, op, has_option) VALUES (?, ?, ?)

-- name: insert_file
INSERT INTO file (id, name, sha256, size, "rows") VALUES (?, ?, ?, ?, ?)

-- name: insert_source
INSERT INTO source (first, file) VALUES (?, ?)

-- name: insert_span
INSERT INTO span (api, first, last) VALUES (?, ?, ?)

-- name: survey_targets
-- One sort, on disk: how many targets (the content without its trailing option) more than one row asks for, for how many of
-- them the options differ, and the first row about such a one. ?1: a bit for every API whose last field is an option.
SELECT count(*), coalesce(sum(varies), 0), min(iif(varies, first, NULL))
FROM (SELECT min(seq) AS first, min(content) <> max(content) AS varies
      FROM operation
      GROUP BY api, iif((?1 >> api) & 1, rtrim(content, '0123456789'), content)
      HAVING count(*) > 1)

-- name: find_duplicates
-- In the order of the job, so that what follows reads the table from front to back.
CREATE TEMP TABLE fold AS
SELECT seq, api, first
FROM (SELECT seq, api, min(seq) OVER (PARTITION BY api, content) AS first FROM operation)
WHERE seq <> first
ORDER BY seq

-- name: line_of
SELECT line FROM operation WHERE seq = ?

-- name: keep_duplicates
INSERT INTO duplicate (seq, line, ref, operation)
SELECT f.seq, o.line, o.ref, f.first FROM fold AS f CROSS JOIN operation AS o ON o.seq = f.seq
ORDER BY f.rowid

-- name: drop_duplicates
DELETE FROM operation WHERE seq IN (SELECT seq FROM fold)

-- name: duplicates_by_api
SELECT api, count(*) FROM fold GROUP BY api

-- name: chunk_of_contents
-- What the job's hash is made of, for a stretch of operations, in their order.
SELECT group_concat(op || char(9) || content || char(10), '')
FROM (SELECT a.op AS op, o.content AS content FROM operation AS o JOIN api AS a ON a.id = o.api
      WHERE o.seq > ?1 AND o.seq <= ?2 ORDER BY o.seq)

-- name: set_operations
UPDATE api SET operations = ?2 WHERE id = ?1

-- name: insert_job
INSERT INTO job (id, created_at, sha256, "rows", duplicates, invalid, operations, sandbox) VALUES (1, ?, ?, ?, ?, ?, ?, ?)

-- name: insert_tally
INSERT INTO tally (api, kind, word, count) VALUES (?, ?, ?, ?)
