-- One group of changes. Every statement takes its rows as one JSON text: the interpreter lock is not taken for each row.

-- name: insert_attempts
INSERT INTO attempt (operation, number, process, begun_at, took, http, code, label, info, verdict, sent)
SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6, value ->> 7, value ->> 8,
       value ->> 9, value ->> 10
FROM json_each(?)

-- name: end_operations
-- [api, seq, status]
UPDATE operation SET status = j.value ->> 2 FROM json_each(?) AS j WHERE operation.seq = j.value ->> 1

-- name: close_operations
DELETE FROM open WHERE (api, operation) IN (SELECT value ->> 0, value ->> 1 FROM json_each(?))

-- name: let_wait
-- [api, seq, number, charged, calls, in_doubt, sent]: settled, and goes again.
UPDATE open
SET number = j.value ->> 2, charged = j.value ->> 3, calls = j.value ->> 4, in_doubt = j.value ->> 5,
    orphaned = iif(j.value ->> 6, 0, orphaned), begun_at = NULL
FROM json_each(?) AS j
WHERE open.api = j.value ->> 0 AND open.operation = j.value ->> 1

-- name: begin_attempts
-- [api, seq, number, begun_at]
INSERT INTO open (api, operation, number, charged, calls, in_doubt, orphaned, begun_at, process)
SELECT value ->> 0, value ->> 1, value ->> 2, 0, 0, 0, 0, value ->> 3, ?2 FROM json_each(?1) WHERE true
ON CONFLICT (api, operation) DO UPDATE SET number = excluded.number, begun_at = excluded.begun_at, process = excluded.process

-- name: set_claimed
INSERT INTO lane (api, claimed) SELECT value ->> 0, value ->> 1 FROM json_each(?) WHERE true
ON CONFLICT (api) DO UPDATE SET claimed = excluded.claimed

-- name: add_tally
INSERT INTO tally (api, kind, word, count) SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3 FROM json_each(?) WHERE true
ON CONFLICT (api, kind, word) DO UPDATE SET count = count + excluded.count

-- name: add_departures
-- [process, api, calls, first, last]
INSERT INTO departure (process, api, calls, first, last)
SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4 FROM json_each(?) WHERE true
ON CONFLICT (process, api) DO UPDATE
SET calls = calls + excluded.calls, first = min(first, excluded.first), last = max(last, excluded.last)

-- name: unanswered_before
-- Of these operations, those with an unanswered attempt: an absent target may be its doing.
SELECT value FROM json_each(?1)
WHERE EXISTS (SELECT 1 FROM attempt WHERE operation = value AND verdict = ?2 AND sent <> 0)

-- name: seen
UPDATE process SET seen_at = max(seen_at, ?2) WHERE number = ?1
