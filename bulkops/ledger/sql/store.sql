-- name: job
SELECT sha256, created_at, "rows", duplicates, invalid, operations, sandbox, coalesce(confirmed_at, 0), sdkappid FROM job

-- name: apis
SELECT id, op, operations FROM api ORDER BY id

-- name: files
SELECT name, sha256, size, "rows" FROM file ORDER BY id

-- name: sources
SELECT first, file FROM source ORDER BY first

-- name: spans
SELECT api, first, last FROM span ORDER BY api, first

-- name: lanes
SELECT api, claimed FROM lane

-- name: mark_dirty
UPDATE job SET dirty = ?1, home = ?2 WHERE dirty <> ?1 OR home <> ?2

-- name: dirty
SELECT dirty, home FROM job

-- name: count_by_status
SELECT api, status, count(*) FROM operation GROUP BY api, status

-- name: confirm
UPDATE job SET confirmed_at = ?

-- name: intend
UPDATE job SET settings = ?

-- name: intended
SELECT settings FROM job

-- name: app
SELECT sdkappid FROM job

-- name: touched
SELECT EXISTS (SELECT 1 FROM attempt) OR EXISTS (SELECT 1 FROM open WHERE begun_at IS NOT NULL)

-- name: processes
SELECT number, operator, host, pid, version, sdkappid, identifier, endpoint, settings, started_at, seen_at,
       coalesce(ended_at, 0), reason, exit
FROM process ORDER BY number

-- name: process_files
SELECT files FROM process WHERE number = ?

-- name: start_process
INSERT INTO process (operator, host, pid, version, sdkappid, identifier, endpoint, settings, files, started_at, seen_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
RETURNING number

-- name: end_process
UPDATE process SET ended_at = ?2, seen_at = max(seen_at, ?2), reason = ?3, exit = ?4 WHERE number = ?1

-- name: newest_process
SELECT coalesce(max(number), 0) FROM process

-- name: elapsed
SELECT coalesce(sum(max(0, coalesce(ended_at, seen_at) - started_at)), 0) FROM process

-- name: tally
SELECT api, kind, word, count FROM tally

-- name: departures
SELECT api, calls, first, last FROM departure WHERE process = ?

-- name: claim_open
-- Begun by earlier processes, and waiting.
SELECT w.operation, o.content, w.number, w.charged, w.calls, w.in_doubt, w.orphaned
FROM open AS w JOIN operation AS o ON o.seq = w.operation
WHERE w.api = ?1 AND w.operation > ?2 AND w.begun_at IS NULL AND w.process <> ?3
ORDER BY w.operation LIMIT ?4

-- name: claim_untouched
SELECT o.seq, o.content FROM operation AS o
WHERE o.seq BETWEEN ?2 AND ?3 AND o.api = ?1 AND o.status = 2
  AND NOT EXISTS (SELECT 1 FROM open AS w WHERE w.api = ?1 AND w.operation = o.seq)
ORDER BY o.seq LIMIT ?4

-- name: orphans
SELECT o.seq, o.api, o.content, o.ref, w.begun_at
FROM open AS w INDEXED BY sending JOIN operation AS o ON o.seq = w.operation
WHERE w.begun_at IS NOT NULL AND w.process <> ?1
ORDER BY o.seq LIMIT ?2

-- name: orphan_count
SELECT count(*) FROM open INDEXED BY sending WHERE begun_at IS NOT NULL AND process <> ?

-- name: bind_app
UPDATE job SET sdkappid = (SELECT sdkappid FROM process WHERE number = ?) WHERE sdkappid IS NULL
