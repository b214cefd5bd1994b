-- name: orphan_figures
-- What the orphans come to once they count as calls: api, process, calls, beyond a first, sent again, first, last.
SELECT api, process, count(*), sum(calls > 0), sum(orphaned), min(begun_at), max(begun_at)
FROM open INDEXED BY sending
WHERE begun_at IS NOT NULL AND process <> ?
GROUP BY api, process

-- name: orphans_by_api
SELECT api, count(*) FROM open INDEXED BY sending WHERE begun_at IS NOT NULL AND process <> ? GROUP BY api

-- name: settle_orphans
INSERT INTO attempt (operation, number, process, begun_at, took, label, verdict, sent)
SELECT operation, number, process, begun_at, ?2 - begun_at, ?3, ?4, 2
FROM open INDEXED BY sending WHERE begun_at IS NOT NULL AND process <> ?1

-- name: hold_orphans
UPDATE operation SET status = ?2
WHERE seq IN (SELECT operation FROM open INDEXED BY sending WHERE begun_at IS NOT NULL AND process <> ?1)

-- name: drop_orphans
DELETE FROM open INDEXED BY sending WHERE begun_at IS NOT NULL AND process <> ?1

-- name: requeue_orphans
UPDATE open INDEXED BY sending SET calls = calls + 1, in_doubt = 1, orphaned = 1, begun_at = NULL, process = 0
WHERE begun_at IS NOT NULL AND process <> ?1

-- name: find_reopened
-- ?1: statuses, ?2: codes of the newest attempt or NULL for any.
CREATE TEMP TABLE reopened AS
SELECT o.seq AS seq, o.api AS api, o.status AS status, n.number AS number, n.sent AS sent,
       coalesce(n.label, n.code) AS label
FROM operation AS o
JOIN attempt AS n ON n.operation = o.seq AND n.number = (SELECT max(number) FROM attempt WHERE operation = o.seq)
WHERE o.status IN (SELECT value FROM json_each(?1))
  AND (?2 IS NULL OR CAST(coalesce(n.label, n.code) AS TEXT) IN (SELECT value FROM json_each(?2)))

-- name: reopen_operations
UPDATE operation SET status = 2 WHERE seq IN (SELECT seq FROM reopened)

-- name: open_reopened
INSERT INTO open (api, operation, number, charged, calls, in_doubt, orphaned, begun_at, process)
SELECT r.api, r.seq, r.number, 0, (SELECT count(*) FROM attempt AS a WHERE a.operation = r.seq AND a.sent <> 0),
       r.status = ?1, r.sent = 2, NULL, 0
FROM reopened AS r

-- name: reopened_by_status
SELECT api, status, count(*) FROM reopened GROUP BY api, status

-- name: reopened_by_refusal
SELECT api, label, count(*) FROM reopened WHERE status = ? GROUP BY api, label

-- name: reopened_ours
SELECT api, count(*) FROM reopened AS r
WHERE status = ?1 AND EXISTS (
  SELECT 1 FROM attempt AS a WHERE a.operation = r.seq AND a.number < r.number AND a.verdict = ?2 AND a.sent <> 0)
GROUP BY api

-- name: forget_reopened
DROP TABLE IF EXISTS reopened
