"""The words that every part shares: frozen values and closed sets, no behaviour beyond naming.

Nothing here does I/O, reads a clock or knows a library. A value crosses folders (job → ledger → engine → chat → engine →
ledger → report); what only one folder needs stays in that folder.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, IntEnum
from typing import Final, NamedTuple

FIELD_SEPARATOR: Final = "\t"
"""Between the values of an operation's `content`. A control character, so that no valid value can hold it."""


class Status(IntEnum):
    """Where an operation stands in the ledger. The numbers are stored; every one of them takes one byte in SQLite.

    0 and 1 are left out on purpose: SQLite stores them in no byte at all, and a row that grows when its operation ends
    splits the packed pages of a large ledger.
    """

    PENDING = 2
    SENDING = 3
    SUCCEEDED = 4
    ABSENT = 5
    FAILED = 6
    EXHAUSTED = 7
    IN_DOUBT = 8

    @property
    def word(self) -> str:
        """The name users see: `in_doubt`, not `IN_DOUBT`."""
        return self.name.lower()

    @property
    def ended(self) -> bool:
        """Whether nothing more will be sent for the operation unless a user reopens it."""
        return self >= Status.SUCCEEDED


class Verdict(IntEnum):
    """What one reply means for its operation. The numbers are stored with every attempt."""

    SUCCEEDED = 1
    ABSENT = 2
    TRANSIENT = 3
    UNANSWERED = 4
    NOT_SENT = 5
    THROTTLED = 6
    THROTTLED_APP = 7
    """Throttled, and the whole SDKAppID with it: every lane of the app slows down."""
    STALE_CREDENTIAL = 8
    REFUSED = 9
    FATAL = 10
    """Nothing in this run can succeed."""
    FATAL_API = 11
    """Nothing on this API can succeed; the other lanes go on."""
    FATAL_API_UNTIL_SUCCESS = 12
    """`FATAL_API` until the API's first success in the ledger, `REFUSED` afterwards."""

    @property
    def word(self) -> str:
        return self.name.lower()


class FieldKind(Enum):
    """How a field's value is checked and sent."""

    USER_ID = "UserID"
    GROUP_ID = "group id"
    NAME = "name"
    INTEGER = "integer"


@dataclass(frozen=True, slots=True)
class Field:
    """One field of an API, in the vendor's own spelling, with everything a job file's reader has to know about it.

    Args:
        name: The vendor's spelling, which is also the CSV column and the JSONL key.
        kind: What the value is.
        required: Whether every row has it. A field with `only_with` is required exactly where that condition holds.
        only_with: (other field, its value): present always and only where the other field has this value.
        max_bytes: Longest text value, in bytes of UTF-8.
        minimum, maximum: Range of an integer, both ends included.
        as_list: The value is sent as a list of one, and a JSONL row may hold a list, one operation an element.
        absent_warning: What the plan says about rows that leave the field out; empty for nothing.
        absent_rank: Its place among those warnings, 0 the riskiest, at most 9.
        refused_prefixes: (prefix, what the plan says): ids that the API is known to refuse.
    """

    name: str
    kind: FieldKind
    required: bool = True
    only_with: tuple[str, int] | None = None
    max_bytes: int = 0
    minimum: int = 0
    maximum: int = 0
    as_list: bool = False
    absent_warning: str = ""
    absent_rank: int = 0
    refused_prefixes: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Api:
    """One remote call with its own published limit: everything about it is data.

    Args:
        op: The name in job files, results and JSON.
        path: After the host, with no leading slash.
        rate: Calls per second that the vendor publishes, for one SDKAppID.
        fields: In the order in which an operation's `content` holds their values.
        codes: Verdicts of this API's own ErrorCodes; the public ones are in `chat.verdicts`.
        source: Where the facts come from.
        warning: What the plan says about every row of this API; empty for nothing.
    """

    op: str
    path: str
    rate: int
    fields: tuple[Field, ...]
    codes: Mapping[int, Verdict]
    source: str
    warning: str = ""

    @property
    def aliases(self) -> tuple[str, ...]:
        """What a job file may write for it: the name, and the path without its version."""
        return (self.op, self.path.removeprefix("v4/"))

    @property
    def has_option(self) -> bool:
        """Whether the last field is an optional number: rows that differ in nothing else have one target."""
        last = self.fields[-1]
        return last.kind is FieldKind.INTEGER and not last.required


class Operation(NamedTuple):
    """One deletion or clear as the ledger hands it out.

    Args:
        seq: Its place in the job, from 1.
        content: The values of its API's fields, in the catalog's order, joined by `FIELD_SEPARATOR`; an absent field is
            an empty string, an integer plain digits.
        number: Attempts made for it so far, in all processes (calls and attempts that were not sent).
        charged: Attempts that count towards `--max-attempts`.
        calls: Attempts of which a byte left.
        in_doubt: An attempt left without an answer and none has settled it since.
    """

    seq: int
    content: str
    number: int = 0
    charged: int = 0
    calls: int = 0
    in_doubt: bool = False


class Outcome(Enum):
    """What became of one call on the wire."""

    NOT_SENT = "not sent"
    ANSWERED = "answered"
    UNANSWERED = "unanswered"


class Reply(NamedTuple):
    """What the client saw of one call: an answer, or how it failed to come.

    Args:
        outcome: Whether a byte left, and whether an answer came.
        http: Status of the HTTP response, where there was one.
        code: ErrorCode of an answer; `None` otherwise. HTTP 429 without a readable code is an answer without one.
        label: How `codes` counts it: the ErrorCode in digits, else `http_502`, `timeout`, `lost`, `unreadable`. For a
            call that was not sent, its cause in one word (`refused`, `dns`, `tls`, `stale_connection`, `withdrawn`).
        info: ErrorInfo as received, or the cause in words. Never holds a URL, a UserSig or a key.
        retry_after: Seconds that the server asked to wait, at most 300.
        fatal: Set where no further call can succeed whatever the operation (a wrong certificate): what to fix.
    """

    outcome: Outcome
    http: int | None = None
    code: int | None = None
    label: str = ""
    info: str = ""
    retry_after: float | None = None
    fatal: str = ""


class Intent(NamedTuple):
    """An attempt about to be made: what must be durable before its first byte leaves.

    Args:
        seq: The operation's place in the job.
        number: The attempt, counted from 1.
        begun_at: Microseconds since 1970, UTC.
    """

    seq: int
    number: int
    begun_at: int


class Settlement(NamedTuple):
    """What became of one attempt, as the engine hands it to the ledger.

    Args:
        seq: The operation's place in the job.
        number: The attempt.
        begun_at: As in its intent.
        answered_at: Microseconds since 1970, UTC; when the answer came or the wait for it ended.
        verdict: What the reply means.
        status: Where the operation stands from now on: `PENDING` (waits for another attempt) or an ended one.
        http, code, label, info: As in `Reply`.
        sent: A byte left: the attempt is a call.
        charged: Attempts of the operation that count so far, this one included where it counts.
        calls: Calls of the operation so far, this one included where it is one.
        in_doubt: Whether an unanswered attempt is still unsettled.
    """

    seq: int
    number: int
    begun_at: int
    answered_at: int
    verdict: Verdict
    status: Status
    http: int | None
    code: int | None
    label: str
    info: str
    sent: bool
    charged: int
    calls: int
    in_doubt: bool


class Invalid(NamedTuple):
    """A row of a job file that asks for nothing valid.

    Args:
        file: Index of its file in the job, from 0.
        line: Physical line, from 1, header included.
        column: Column or key, empty where the whole row is meant.
        message: What is wrong and what would be right; ids in it are escaped.
        cells: The row's known columns as far as they could be read, a JSON object in text (values as the file has them:
            in CSV strings, in JSONL whatever they are), `{}` where nothing could be read.
    """

    file: int
    line: int
    column: str
    message: str
    cells: str


class FrozenRow(NamedTuple):
    """A valid row on its way into the ledger. Plain tuples of the same shape do as well, and are made faster.

    Args:
        api: Index of its API in the catalog.
        content: As in `Operation`.
        ref: The user's own `id`, empty where there is none.
        line: Physical line in its file, from 1.
    """

    api: int
    content: str
    ref: str
    line: int


class Batch(NamedTuple):
    """Some rows of one file, in their order; what the readers hand to the ledger.

    Args:
        file: Index of the file in the job, from 0.
        rows: Valid rows, shaped like `FrozenRow`.
        invalid: Rows that ask for nothing valid.
    """

    file: int
    rows: Sequence[tuple[int, str, str, int]]
    invalid: Sequence[Invalid]


class ResultRow(NamedTuple):
    """One line of `results`: an operation, or with `--rows` a row of the job.

    Args:
        api: Index of its API in the catalog; -1 for an invalid row.
        content: As in `Operation`; empty for an invalid row.
        ref: The user's own `id`.
        file: Name of its file as the user wrote it.
        line: Physical line in it.
        status: A status's word, or `invalid`.
        attempts: Calls made for the operation.
        code: ErrorCode of the newest attempt in digits, or its label (`timeout`, `http_502`); empty for none.
        info: ErrorInfo of the newest attempt, raw; for an invalid row what is wrong with it.
        finished_at: Microseconds since 1970, UTC; 0 while it has not ended.
        cells: For an invalid row as in `Invalid`; empty otherwise.
    """

    api: int
    content: str
    ref: str
    file: str
    line: int
    status: str
    attempts: int
    code: str
    info: str
    finished_at: int
    cells: str = ""


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A job file as it was read.

    Args:
        name: As the user wrote it; `-` for standard input.
        sha256: Of the bytes on disk (compressed where it is), in hex.
        size: Bytes on disk.
        rows: Rows in it, blank lines and the header left out.
    """

    name: str
    sha256: str
    size: int
    rows: int


@dataclass(frozen=True, slots=True)
class PlanWarning:
    """Something the plan points out before anybody is asked.

    Args:
        risk: Lower is riskier; the order on screen.
        message: In words, without the count.
        count: Rows it is about.
        example: (file name, line) of the first of them.
    """

    risk: int
    message: str
    count: int
    example: tuple[str, int] | None = None


@dataclass(frozen=True, slots=True)
class ApiFigures:
    """What one API's calls came to, over all processes of the ledger.

    Args:
        operations: Frozen operations of this API.
        by_status: Operations by status; every status has a key.
        calls: Attempts of which a byte left, orphans of a crash included.
        retried: Calls beyond an operation's first.
        throttled: Calls that were answered with throttling.
        codes: Every call by ErrorCode, or `http_502`, `timeout`, `lost`, `unreadable`.
        absent_ours: Absent ones where an earlier unanswered attempt of ours may be the reason.
        refused: Operations that ended as failed, by ErrorCode.
        process_calls: Calls of the newest process.
        first_departure, last_departure: Of the newest process, microseconds since 1970, UTC; 0 for none.
    """

    operations: int = 0
    by_status: Mapping[Status, int] = field(default_factory=dict)
    calls: int = 0
    retried: int = 0
    throttled: int = 0
    codes: Mapping[str, int] = field(default_factory=dict)
    absent_ours: int = 0
    refused: Mapping[str, int] = field(default_factory=dict)
    process_calls: int = 0
    first_departure: int = 0
    last_departure: int = 0


@dataclass(frozen=True, slots=True)
class Figures:
    """What a ledger amounts to; read in one short transaction.

    Args:
        rows, duplicates, invalid, operations: rows = operations + duplicates + invalid.
        apis: By op, in the catalog's order, only those that the job uses.
        resent_in_doubt: Operations sent again after a crash or a forced stop had left them `sending`.
        elapsed: Seconds that all processes took together.
    """

    rows: int
    duplicates: int
    invalid: int
    operations: int
    apis: Mapping[str, ApiFigures]
    resent_in_doubt: int = 0
    elapsed: float = 0.0


@dataclass(frozen=True, slots=True)
class ProcessRecord:
    """One process of a run, as the ledger keeps it. Timestamps are microseconds since 1970, UTC; 0 for not yet."""

    number: int
    operator: str
    host: str
    pid: int
    version: str
    sdkappid: int
    identifier: str
    endpoint: str
    settings: Mapping[str, object]
    started_at: int
    seen_at: int = 0
    ended_at: int = 0
    reason: str = ""
    exit: int | None = None


class StopKind(Enum):
    """Why a process of a run ended before its job did."""

    SIGNAL = "signal"
    MAX_DURATION = "max-duration"
    CANARY = "canary"
    DECLINED = "declined"
    FATAL = "fatal"
    GUARD = "guard"
    OUTAGE = "outage"
    LEDGER = "ledger"


@dataclass(frozen=True, slots=True)
class Stop:
    """A stop with its reason in words, remedy included."""

    kind: StopKind
    text: str
