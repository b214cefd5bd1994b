"""What the calls change, and what they changed: the truth that a ledger is compared with.

By default every user and group exists until something changes that, so that any job file works. Conversations are not
kept: deleting one again succeeds, as no documented code says otherwise. Knows no HTTP and no fault.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

from bulkops.model import FIELD_SEPARATOR, Api, FieldKind
from bulkops.sandbox.answers import Answer, failure, success
from bulkops.sandbox.checks import documented

EVERYTHING: Final = 2**63 - 1
"""Watermark of a group that was cleared without MsgSeq."""

_NOT_IMPORTED: Final = (50001, 30003, 40003, 70107)
_NO_GROUP: Final = (10010,)
_NO_NAME: Final = (51009,)


class World:
    """Users, groups and conversation groups, as far as they differ from the default, and every effect.

    Args:
        track: Keep each target's effects and what they changed. Without it memory stays flat, only totals are kept, and
            conversation groups exist for ever.
    """

    def __init__(self, *, track: bool = True) -> None:
        self._track = track
        self._effects: dict[str, Counter[str]] = {}
        self._calls: dict[str, Counter[str]] = {}
        self._totals: Counter[str] = Counter()
        self._forgotten: set[str] = set()
        self._dissolved: set[str] = set()
        self._names_gone: set[tuple[str, str]] = set()
        self._names_deleted: Counter[str] = Counter()
        self._cleared: dict[str, int] = {}

    def forget_user(self, user_id: str) -> None:
        """From now on the user is not imported (50001)."""
        self._forgotten.add(user_id)

    def dissolve(self, group_id: str) -> None:
        """From now on the group does not exist (10010)."""
        self._dissolved.add(group_id)

    def forget_conversation_group(self, user_id: str, name: str) -> None:
        """From now on the user has no such conversation group (51009)."""
        self._names_gone.add((user_id, name))

    def cleared_to(self, group_id: str) -> int:
        """Highest MsgSeq up to which a group was cleared: 0 for never, `EVERYTHING` for all."""
        return self._cleared.get(group_id, 0)

    def see(self, op: str, content: str) -> int | None:
        """Note a well-formed call; how often this content came before, `None` where that is not kept."""
        if not self._track:
            return None
        calls = self._calls.setdefault(op, Counter())
        number = calls[content]
        calls[content] = number + 1
        return number

    def carry_out(self, api: Api, content: str) -> Answer:
        """Do what a call asks for, or say why it can't be done."""
        values = content.split(FIELD_SEPARATOR)
        if refused := self._absent(api, values):
            return refused
        self._totals[api.op] += 1
        number = 1
        if self._track:
            self._effects.setdefault(api.op, Counter())[content] += 1
            number = self._change(api, values)
        return success(api, content, number)

    def effects(self, op: str) -> Counter[str]:
        """How often each content was really carried out."""
        return Counter(self._effects.get(op, ()))

    def calls(self, op: str) -> Counter[str]:
        """How often each content was asked for, whatever came of it."""
        return Counter(self._calls.get(op, ()))

    def total(self, op: str) -> int:
        """Effects of an API."""
        return self._totals[op]

    def repeated(self, op: str) -> int | None:
        """Effects beyond the first of their content; `None` where that is not kept."""
        return self._totals[op] - len(self._effects.get(op, ())) if self._track else None

    def _absent(self, api: Api, values: list[str]) -> Answer | None:
        if not (self._forgotten or self._dissolved or self._names_gone):
            return None
        user = ""
        for field, value in zip(api.fields, values, strict=True):
            code = 0
            if field.kind is FieldKind.USER_ID and not user:  # only the user who asks; of the peer the pages say nothing
                user = value
                code = documented(api, _NOT_IMPORTED) if value in self._forgotten else 0
            elif field.kind is FieldKind.GROUP_ID and value in self._dissolved:
                code = documented(api, _NO_GROUP)
            elif field.kind is FieldKind.NAME and (user, value) in self._names_gone:
                code = documented(api, _NO_NAME)
            if code:
                return failure(code, api=api)
        return None

    def _change(self, api: Api, values: list[str]) -> int:
        """Keep what an effect changes; the number of a conversation group that it deletes."""
        named = dict(zip((field.name for field in api.fields), values, strict=True))
        if documented(api, _NO_NAME):
            user = named[api.fields[0].name]
            self._names_gone.add((user, values[-1]))
            self._names_deleted[user] += 1
            return self._names_deleted[user]
        if "MsgSeq" in named:
            group = named["GroupId"]
            self._cleared[group] = max(self.cleared_to(group), int(named["MsgSeq"] or EVERYTHING))
        return 1
