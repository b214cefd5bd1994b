-- A ledger, format 2. Times are microseconds since 1970, UTC; NULL where there is none. docs/decisions/0002-ledger-schema.md
-- says why it looks like this.

-- name: tables
CREATE TABLE job (                -- one row
  id           INTEGER PRIMARY KEY CHECK (id = 1),
  created_at   INTEGER NOT NULL,
  sha256       TEXT    NOT NULL,  -- of the operations in their order: the job's identity
  "rows"       INTEGER NOT NULL CHECK ("rows" = operations + duplicates + invalid),
  duplicates   INTEGER NOT NULL,
  invalid      INTEGER NOT NULL,
  operations   INTEGER NOT NULL,
  sandbox      INTEGER NOT NULL CHECK (sandbox IN (0, 1)),
  settings     TEXT    NOT NULL DEFAULT '{}',  -- JSON, as a process has them: of a run that was planned, and has none yet
  confirmed_at INTEGER,           -- when the user said yes to the plan
  sdkappid     INTEGER,           -- the app, once an operation has ended: from then on it can't change
  dirty        INTEGER NOT NULL DEFAULT 0,  -- 0: closed in order, 1: the log holds more, 2: written to; see mending.py
  home         INTEGER NOT NULL DEFAULT 0   -- inode of the file while it was written to: a copy has another one
) STRICT;

CREATE TABLE api (                -- the operations' kinds, as the catalog had them when the job was frozen
  id         INTEGER PRIMARY KEY, -- index in the catalog
  op         TEXT    NOT NULL,
  has_option INTEGER NOT NULL CHECK (has_option IN (0, 1)),  -- its last field is an optional integer
  operations INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE file (
  id     INTEGER PRIMARY KEY,     -- index in the job
  name   TEXT    NOT NULL,
  sha256 TEXT    NOT NULL,
  size   INTEGER NOT NULL,
  "rows" INTEGER NOT NULL
) STRICT;

CREATE TABLE source (             -- rows from `first` on, up to the next one's, come from this file
  first INTEGER PRIMARY KEY,
  file  INTEGER NOT NULL
) STRICT;

CREATE TABLE span (               -- where the operations of one API are: a claim looks nowhere else
  api   INTEGER NOT NULL,
  first INTEGER NOT NULL,
  last  INTEGER NOT NULL CHECK (last >= first),
  PRIMARY KEY (api, first)
) STRICT, WITHOUT ROWID;

CREATE TABLE operation (          -- only `status` ever changes, and never the size of a row
  seq     INTEGER PRIMARY KEY,    -- place in the job, ascending, not dense where duplicates were
  api     INTEGER NOT NULL,
  status  INTEGER NOT NULL DEFAULT 2 CHECK (status BETWEEN 2 AND 8),  -- model.Status, but for SENDING: see `open`
  line    INTEGER NOT NULL,
  content TEXT    NOT NULL,
  ref     TEXT    NOT NULL
) STRICT;

CREATE TABLE duplicate (          -- rows that ask for what an earlier row asked for
  seq       INTEGER PRIMARY KEY,
  line      INTEGER NOT NULL,
  ref       TEXT    NOT NULL,
  operation INTEGER NOT NULL
) STRICT;

CREATE TABLE invalid (
  id       INTEGER PRIMARY KEY,
  file     INTEGER NOT NULL,
  line     INTEGER NOT NULL,
  "column" TEXT    NOT NULL,
  message  TEXT    NOT NULL,
  cells    TEXT    NOT NULL
) STRICT;

CREATE TABLE open (               -- operations that were begun and have not ended: few, and hot
  api       INTEGER NOT NULL,
  operation INTEGER NOT NULL,
  number    INTEGER NOT NULL,     -- of the newest attempt
  charged   INTEGER NOT NULL,
  calls     INTEGER NOT NULL,     -- settled attempts of which a byte left
  in_doubt  INTEGER NOT NULL,
  orphaned  INTEGER NOT NULL,     -- a process left it sending, and it was not sent again since
  begun_at  INTEGER,              -- the attempt under way; NULL: waits as pending
  process   INTEGER NOT NULL,     -- that touched it last
  PRIMARY KEY (api, operation)
) STRICT, WITHOUT ROWID;

CREATE TABLE attempt (            -- inserted when it is settled: what is under way stands in `open`
  operation INTEGER NOT NULL,
  number    INTEGER NOT NULL CHECK (number >= 1),
  process   INTEGER NOT NULL,
  begun_at  INTEGER NOT NULL,
  took      INTEGER,              -- microseconds until the answer, or until the wait for it ended; NULL: nobody saw it
  http      INTEGER,
  code      INTEGER,              -- ErrorCode of an answer, raw
  label     TEXT,                 -- how `codes` counts it, where that is not the code
  info      TEXT,
  verdict   INTEGER NOT NULL,     -- model.Verdict
  sent      INTEGER NOT NULL CHECK (sent IN (0, 1, 2)),  -- a byte left: no, yes, assumed (its process died)
  PRIMARY KEY (operation, number)
) STRICT, WITHOUT ROWID;

CREATE TABLE lane (               -- untouched operations of an API are all above `claimed`: a resume needs no scan
  api     INTEGER PRIMARY KEY,
  claimed INTEGER NOT NULL
) STRICT;

CREATE TABLE tally (              -- counts kept by every commit, so that nobody counts millions of rows
  api   INTEGER NOT NULL,
  kind  TEXT    NOT NULL,
  word  TEXT    NOT NULL,
  count INTEGER NOT NULL,
  PRIMARY KEY (api, kind, word)
) STRICT, WITHOUT ROWID;

CREATE TABLE process (
  number     INTEGER PRIMARY KEY,
  operator   TEXT    NOT NULL,
  host       TEXT    NOT NULL,
  pid        INTEGER NOT NULL,
  version    TEXT    NOT NULL,
  sdkappid   INTEGER NOT NULL,
  identifier TEXT    NOT NULL,
  endpoint   TEXT    NOT NULL,
  settings   TEXT    NOT NULL,    -- JSON object; no secret
  files      TEXT    NOT NULL,    -- JSON array of [name, sha256, size, rows]: what this process read
  started_at INTEGER NOT NULL,
  seen_at    INTEGER NOT NULL,
  ended_at   INTEGER,             -- NULL: runs, or was killed
  reason     TEXT    NOT NULL DEFAULT '',
  exit       INTEGER
) STRICT;

CREATE TABLE departure (          -- calls of one process on one API
  process INTEGER NOT NULL,
  api     INTEGER NOT NULL,
  calls   INTEGER NOT NULL,
  first   INTEGER NOT NULL,
  last    INTEGER NOT NULL,
  PRIMARY KEY (process, api)
) STRICT, WITHOUT ROWID;

CREATE INDEX sending ON open (api, operation) WHERE begun_at IS NOT NULL;

CREATE VIEW outcome AS            -- what became of every operation; `code` and `info` are those of its newest attempt
SELECT o.seq AS seq, o.api AS api, o.content AS content, o.ref AS ref, o.line AS line,
       iif(o.status = 2 AND EXISTS (
             SELECT 1 FROM open AS w WHERE w.api = o.api AND w.operation = o.seq AND w.begun_at IS NOT NULL),
           3, o.status) AS status,
       (SELECT count(*) FROM attempt AS a WHERE a.operation = o.seq AND a.sent <> 0) AS attempts,
       CAST(coalesce(n.label, n.code, '') AS TEXT) AS code,
       coalesce(n.info, '') AS info,
       iif(o.status > 3, n.begun_at + coalesce(n.took, 0), 0) AS finished_at
FROM operation AS o
LEFT JOIN attempt AS n ON n.operation = o.seq AND n.number = (SELECT max(number) FROM attempt WHERE operation = o.seq);
