"""A second process at the same ledger or the same lane is refused at once, and told who is there (F18)."""

from __future__ import annotations

import os
import re
import signal
import socket
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from tests.e2e.support import check_summary, conversations
from tests.helpers.command import Ended
from tests.helpers.crash_forks import Fork, Forks
from tests.helpers.otherserver_handle import OtherServer

_REFUSED_WITHIN: Final = 1.0


@dataclass(frozen=True)
class Held:
    """A run under way.

    Args:
        run: Its process.
        ledger: Its ledger.
    """

    forks: Forks
    server: OtherServer
    run: Fork
    ledger: Path

    @property
    def folder(self) -> Path:
        """Where it runs."""
        return self.ledger.parent

    def other(self, *arguments: str | Path) -> Fork:
        """Another process in the same folder."""
        return self.forks.start(self.folder, *map(str, arguments))

    def check_refused(self, other: Fork, subject: str) -> None:
        """See that a process is refused with exit 5 within a second, and told host, pid and start of the one that is there."""
        ended = self.forks.wait(other).expect(5)
        assert ended.seconds <= _REFUSED_WITHIN
        assert subject in ended.screen
        assert f"process {self.run.pid} on {socket.gethostname()} since " in ended.screen
        assert re.search(r"since \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", ended.screen)

    def stop(self) -> Ended:
        """End it in order, and see that the ledger and the server agree."""
        os.kill(self.run.pid, signal.SIGTERM)
        ended = self.forks.wait(self.run).expect(4)
        check_summary(ended.json)
        assert ended.json["calls"] == ended.json["by_status"]["succeeded"] == len(self.server.record.of_target)
        return ended


@pytest.fixture
def held(tmp_path: Path, server: OtherServer, forks: Forks) -> Held:
    """A run that takes its time."""
    (tmp_path / "job.csv").write_text(conversations(1000).csv())
    run = forks.start(tmp_path, "run", "job.csv", "--yes", "--json", "--rate", "50")
    server.wait_for_calls(5)
    return Held(forks, server, run, tmp_path / "job.ledger.db")


@pytest.mark.slow
def test_f18_a_second_process_on_a_ledger_is_refused_by_whatever_path(held: Held) -> None:
    """F18: by its path, through a symlink to the file or its folder, a hard link, by run, resume or retry: refused, told by whom.

    So it is after the file was opened and closed by readers, an SQLite shell or this process.
    """
    (held.folder / "link.db").symlink_to("job.ledger.db")
    (held.folder / "elsewhere").symlink_to(".")
    os.link(held.ledger, held.folder / "hard.db")
    for command in ("status", "results"):
        held.forks.run(held.folder, command, "link.db").expect(0)
    held.ledger.read_bytes()
    with closing(sqlite3.connect(held.ledger)) as shell:
        shell.execute("SELECT count(*) FROM attempt").fetchone()

    others = [
        held.other("run", "job.csv", "--yes"),
        held.other("resume", held.ledger),
        held.other("resume", "link.db"),
        held.other("retry", "elsewhere/job.ledger.db", "--yes"),
        held.other("plan", "job.csv", "--ledger", "job.ledger.db"),
    ]
    for other in others:
        held.check_refused(other, "is in use")
    hard = held.forks.wait(held.other("resume", "hard.db", "--allow-shared-quota")).expect(5)
    assert "its log is gone" in hard.screen, "a log belongs to one name: two of them would spoil the ledger"

    assert held.forks.run(held.folder, "status", "link.db", "--json").expect(0).json["state"] == "running"
    held.stop()


@pytest.mark.slow
def test_f18_two_ledgers_that_share_a_lane_are_kept_apart(held: Held) -> None:
    """F18: another ledger, the same app, host and API: refused; another API's lane is free; --allow-shared-quota lets it pass."""
    (held.folder / "same.csv").write_text(conversations(3, start=2000).csv())
    (held.folder / "other.csv").write_text("op,GroupId,MsgSeq\nclear_group_messages,@TGS#x,5\n")

    same = held.other("run", "same.csv", "--yes")
    other = held.other("run", "other.csv", "--yes")
    shared = held.other("run", "same.csv", "--yes", "--ledger", "shared.db", "--allow-shared-quota")

    held.check_refused(same, "the lane delete_conversation of app 1400000042")
    held.forks.wait(other).expect(0)
    held.forks.wait(shared).expect(0)
    assert held.forks.run(held.folder, "status", "job.ledger.db", "--json").expect(0).json["state"] == "running"
