"""What the plan points out about valid rows: how risky each thing is, how often it occurs, where it occurs first.

Everything about a field comes from the catalog. Runs on every row, so that the usual ones cost next to nothing: a quick
reader counts absent fields itself and hands everything else that may be worth a word to `Notices.examine`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import IntEnum
from typing import Final

from bulkops.chat.catalog import APIS
from bulkops.job.wording import shown
from bulkops.model import Api, FieldKind, PlanWarning


class Risk(IntEnum):
    """The plan's warnings, riskiest first: what `PlanWarning.risk` holds. Gaps leave room for `Field.absent_rank`."""

    API = 10
    """Everything that an API does is worth a word."""
    ABSENT = 20
    """A field is left out whose absence means more than it seems; up to 29 by the field's rank."""
    OPTIONS = 30
    """Several options for one target. Found by the ledger, which sees all rows together."""
    REFUSED = 40
    """Ids that the API is known to refuse."""
    SPOILT = 50
    """Ids that look spoilt by a spreadsheet."""
    COMMENT = 60
    """Rows that look like comments."""
    UNTERMINATED = 70
    """The last line has no line end: it may be cut off."""


ID_KINDS: Final = (FieldKind.USER_ID, FieldKind.GROUP_ID)
"""Fields that hold ids: opaque, printable ASCII."""

COMMENT_STARTS: Final = ("#", "//")
"""How a line begins that somebody may have meant as a comment."""

_MONTHS: Final = "Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec"

SPOILT_PATTERN: Final = "|".join(
    (
        r"-?[0-9]+(?:[.,][0-9]+)?[eE][+-][0-9]+",  # 1.23E+15; without a sign it may be hexadecimal
        r"-?[0-9]+[.,]0+",  # 10023.0
        r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:[ T][0-9:.]+Z?)?",  # 2024-01-05
        r"[0-9]{1,4}/[0-9]{1,2}/[0-9]{1,4}(?: [0-9:.]+)?",  # 1/5/2024
        rf"[0-9]{{1,2}}-(?:{_MONTHS})(?:-[0-9]{{2,4}})?",  # 5-Jan
        rf"(?:{_MONTHS})-[0-9]{{2,4}}",  # Jan-24
        r"#(?:REF!|N/A|VALUE!|DIV/0!|NAME\?|NULL!|NUM!|#+)",
        "TRUE|FALSE",
    )
)
"""Whole ids that a spreadsheet makes of numbers, dates, formulas and truth values."""

_spoilt: Final = re.compile(SPOILT_PATTERN).fullmatch


class Tally:
    """How many rows one warning is about, and the first of them."""

    __slots__ = ("count", "example", "shown")

    def __init__(self) -> None:
        self.count = 0
        self.example: tuple[str, int] | None = None
        self.shown = ""

    def add(self, file: str, line: int, sample: str = "") -> None:
        """Count one row; `sample` is what the message shows of the first."""
        if not self.count:
            self.example = (file, line)
            self.shown = sample
        self.count += 1


class Notices:
    """The warnings of a job, collected while its rows pass by. `file` is the name of the file that is being read."""

    def __init__(self) -> None:
        self.file = ""
        self._tallies: dict[tuple[int, str], Tally] = {}
        self._absences = {api.op: self._absences_of(api) for api in APIS}
        self._unterminated: list[PlanWarning] = []

    def tally(self, risk: int, message: str) -> Tally:
        """The one tally for a message; `{}` in the message stands for what it shows of the first row."""
        return self._tallies.setdefault((risk, message), Tally())

    def absences(self, api: Api) -> tuple[tuple[int, Tally], ...]:
        """(index of a field, tally of the rows that leave it out) for each field of `api` with a warning for that."""
        return self._absences[api.op]

    def examine(self, api: Api, texts: Sequence[str], line: int, *, leading: str = "") -> None:
        """Count whatever is worth a word about one valid row.

        Args:
            api: Its API.
            texts: Its fields' values, in the order of `api.fields`, empty where absent.
            line: Its physical line.
            leading: The field in the file's first column; empty where that is no field.
        """
        for at, tally in self.absences(api):
            if not texts[at]:
                tally.add(self.file, line)
        for field, text in zip(api.fields, texts, strict=True):
            for prefix, message in field.refused_prefixes:
                if text.startswith(prefix):
                    self.tally(Risk.REFUSED, message).add(self.file, line)
        spoilt = self._spoilt_id(api, texts)
        if spoilt:
            self.tally(Risk.SPOILT, "have an id that looks spoilt by a spreadsheet, such as {}").add(self.file, line, spoilt)
        for field, text in zip(api.fields, texts, strict=True):
            # An id that a spreadsheet spoilt (#REF!) is no comment.
            if field.name == leading and text.startswith(COMMENT_STARTS) and text != spoilt:
                message = "look like comments, but are carried out like any other, such as {}"
                self.tally(Risk.COMMENT, message).add(self.file, line, text)

    def count_rows(self, rows: Sequence[tuple[int, str, str, int]]) -> None:
        """Count the rows of APIs that have a word to say about every one of them."""
        for index, api in enumerate(APIS):
            if api.warning:
                tally = self.tally(Risk.API, api.warning)
                for row in rows:
                    if row[0] == index:
                        tally.add(self.file, row[3])

    def unterminated(self, text: str, line: int) -> None:
        """Note that a file's last line has no line end."""
        message = f"have no line end, being the last of their file, and may be cut off: {shown(text)}"
        self._unterminated.append(PlanWarning(Risk.UNTERMINATED, message, 1, (self.file, line)))

    def found(self) -> tuple[PlanWarning, ...]:
        """What was found, riskiest first; of equal risk the more frequent first."""
        counted = [
            PlanWarning(risk, message.replace("{}", shown(tally.shown)), tally.count, tally.example)
            for (risk, message), tally in self._tallies.items()
            if tally.count
        ]
        return tuple(sorted((*counted, *self._unterminated), key=lambda warning: (warning.risk, -warning.count)))

    def _absences_of(self, api: Api) -> tuple[tuple[int, Tally], ...]:
        return tuple(
            (at, self.tally(Risk.ABSENT + field.absent_rank, field.absent_warning))
            for at, field in enumerate(api.fields)
            if field.absent_warning and field.only_with is None
        )

    @staticmethod
    def _spoilt_id(api: Api, texts: Sequence[str]) -> str:
        return next((t for f, t in zip(api.fields, texts, strict=True) if f.kind in ID_KINDS and _spoilt(t)), "")
