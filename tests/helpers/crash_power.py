"""A loss of power: what is on the disk of a process's ledger if everything stops at some moment.

A recording has every change of the ledger's files in its order, and what the product took for durable in between. A disk image
is what was synced by then and, of the rest, whatever the dice say: each sector of each write, each truncation, each new name.
"""

from __future__ import annotations

import base64
import json
import os
import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.helpers.crash_vfs import Change, WatchedVfs

_SECTOR: Final = 512


@dataclass(frozen=True)
class Event:
    """One entry of a recording.

    Args:
        at: When, seconds since 1970.
        kind: A change's, or rename, sync_folder, or known: what the product took for durable from then on.
        path: The file; of a rename what it was.
        target: Of a rename, what it became.
        data: Of a write.
        number: Offset of a write, size of a truncation.
        known: By operation (its seq), the number of the newest attempt and whether it ended.
    """

    at: float
    kind: str
    path: str = ""
    target: str = ""
    data: bytes = b""
    number: int = 0
    known: dict[int, bool] = field(default_factory=dict)


class Recorder:
    """Records this process's changes of ledger files; before the product opens any.

    Args:
        path: The recording; continued where it is there already.
    """

    def __init__(self, path: Path) -> None:
        self._handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._lock = threading.Lock()
        WatchedVfs(self._changed)
        self._wrap_os()
        self._wrap_store()

    def _note(self, kind: str, **values: object) -> None:
        line = json.dumps({"at": time.time(), "kind": kind, **values}).encode() + b"\n"
        with self._lock:
            os.write(self._handle, line)

    def _changed(self, change: Change) -> None:
        data = base64.b64encode(change.data).decode()
        self._note(change.kind, path=change.path, data=data, number=change.offset or change.size)

    def _wrap_os(self) -> None:
        fsync, rename, unlink = os.fsync, os.rename, os.unlink

        def syncing(handle: int) -> None:
            path = Path(f"/proc/self/fd/{handle}").readlink()
            self._note("sync_folder" if path.is_dir() else "sync", path=str(path))
            fsync(handle)

        def renaming(source: Any, target: Any) -> None:
            self._note("rename", path=str(Path(source).absolute()), target=str(Path(target).absolute()))
            rename(source, target)

        def unlinking(path: Any) -> None:
            if Path(path).exists():
                self._note("delete", path=str(Path(path).absolute()))
            unlink(path)

        os.fsync, os.rename, os.unlink = syncing, renaming, unlinking  # type: ignore[assignment]  # narrower, as they are used

    def _wrap_store(self) -> None:
        from bulkops.ledger import SqliteStore

        apply: Any = SqliteStore.apply

        def applying(store: SqliteStore, changes: Any) -> Any:
            added = apply(store, changes)
            known = {intent.seq: False for _, intent in changes.intents}
            known |= {settled.seq: settled.status.ended for _, settled in changes.settlements if settled.seq not in known}
            self._note("known", known=known)
            return added

        setattr(SqliteStore, "apply", applying)  # noqa: B010 - a type checker allows it in no other way


def read(path: Path) -> list[Event]:
    """A recording."""
    events = []
    for line in path.read_text().splitlines():
        raw = json.loads(line)
        raw["data"] = base64.b64decode(raw.get("data", ""))
        raw["known"] = {int(seq): ended for seq, ended in raw.get("known", {}).items()}
        events.append(Event(**raw))
    return events


@dataclass
class _File:
    """One file: what is certain of it, and what has happened since."""

    durable: bytearray = field(default_factory=bytearray)
    since: list[Event] = field(default_factory=list)

    def sync(self) -> None:
        for event in self.since:
            _apply(self.durable, event)
        self.since.clear()

    def after_loss(self, keeps: Callable[[], bool]) -> bytes:
        """Its bytes when the power comes back."""
        found = bytearray(self.durable)
        for event in self.since:
            if event.kind == "truncate":
                if keeps():
                    _apply(found, event)
                continue
            for start in range(0, len(event.data), _SECTOR):
                if keeps():
                    part = event.data[start : start + _SECTOR]
                    _apply(found, Event(event.at, "write", data=part, number=event.number + start))
        return bytes(found)


def _apply(content: bytearray, event: Event) -> None:
    if event.kind == "truncate":
        del content[event.number :]
        content.extend(bytes(event.number - len(content)))
        return
    content.extend(bytes(max(0, event.number - len(content))))
    content[event.number : event.number + len(event.data)] = event.data


class Disk:
    """The folder of a ledger as a recording builds it up, event by event."""

    def __init__(self) -> None:
        self._names: dict[str, _File] = {}
        self._certain: dict[str, _File] = {}  # names as they are on the disk for sure
        self._renames: list[dict[str, _File]] = []  # the names after each change of them since then

    def do(self, event: Event) -> None:
        """Let one event happen."""
        if event.kind == "open":
            if event.path not in self._names:
                self._names[event.path] = _File()
                self._renamed()
        elif event.kind in {"write", "truncate"}:
            self._names[event.path].since.append(event)
        elif event.kind == "sync":
            file = self._names.get(event.path)
            if file is not None:
                file.sync()
                if event.path.endswith("-wal"):  # SQLite syncs the folder of a new log together with it
                    self._settle_names()
        elif event.kind == "rename":
            self._names[event.target] = self._names.pop(event.path)
            self._renamed()
        elif event.kind == "delete":
            if self._names.pop(event.path, None) is not None:
                self._renamed()
        elif event.kind == "sync_folder":
            self._settle_names()

    def _renamed(self) -> None:
        self._renames.append(dict(self._names))

    def _settle_names(self) -> None:
        self._certain = dict(self._names)
        self._renames.clear()

    def after_loss(self, dice: random.Random, folder: Path) -> None:
        """Write what is left into a folder."""
        names = dice.choice([self._certain, *self._renames])
        share = dice.choice([0.0, 0.1, 0.5, 0.9, 1.0])
        for path, file in names.items():
            (folder / Path(path).name).write_bytes(file.after_loss(lambda: dice.random() < share))


def losses(events: Sequence[Event], moments: Iterable[int]) -> Iterator[tuple[int, Disk, dict[int, bool]]]:
    """For each moment (events that have happened): it, the disk, and what was known for sure: by seq, whether it had ended."""
    wanted = sorted(moments)
    disk, known, done = Disk(), {}, 0
    for moment in wanted:
        for event in events[done:moment]:
            disk.do(event)
            known.update(event.known)
        done = moment
        yield moment, disk, dict(known)
