-- name: last_seq
SELECT coalesce(max(seq), 0) FROM (
  SELECT max(seq) AS seq FROM operation UNION ALL SELECT max(seq) FROM duplicate)

-- name: operations
-- A stretch (?1, ?2] of the job with its outcome. ?3: statuses, ?4: codes, each NULL for all.
SELECT seq, api, content, ref, line, status, attempts, code, info, finished_at FROM outcome
WHERE seq > ?1 AND seq <= ?2
  AND (?3 IS NULL OR status IN (SELECT value FROM json_each(?3)))
  AND (?4 IS NULL OR code IN (SELECT value FROM json_each(?4)))
ORDER BY seq

-- name: duplicates
-- The same for the duplicates in it: each with the outcome of its operation.
SELECT d.seq, u.api, u.content, d.ref, d.line, u.status, u.attempts, u.code, u.info, u.finished_at
FROM duplicate AS d CROSS JOIN outcome AS u ON u.seq = d.operation
WHERE d.seq > ?1 AND d.seq <= ?2
  AND (?3 IS NULL OR u.status IN (SELECT value FROM json_each(?3)))
  AND (?4 IS NULL OR u.code IN (SELECT value FROM json_each(?4)))
ORDER BY d.seq

-- name: invalid
SELECT id, file, line, "column", message, cells FROM invalid WHERE id > ? ORDER BY id LIMIT ?

-- name: contents
SELECT o.seq, a.op, o.content FROM operation AS o JOIN api AS a ON a.id = o.api WHERE o.seq > ? ORDER BY o.seq LIMIT ?

-- name: attempts
SELECT number, process, begun_at, coalesce(begun_at + took, 0), http, code,
       CAST(coalesce(label, code, '') AS TEXT), coalesce(info, ''),
       verdict, sent
FROM attempt WHERE operation = ? ORDER BY number
