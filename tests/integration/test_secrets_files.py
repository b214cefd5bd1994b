"""Every file that a command makes is for its owner only, and none is made or written through a symbolic link (S2)."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path
from typing import Self

import pytest

from tests.helpers.cli import bulkops
from tests.helpers.command import credentials
from tests.helpers.driven import driven
from tests.helpers.otherserver_handle import OtherServer

pytestmark = pytest.mark.slow

GENEROUS = "import os\nos.umask(0)\n"
"""Everything is for everybody, unless somebody says otherwise."""


def job(folder: Path, rows: int) -> Path:
    """A job of so many clears."""
    path = folder / "job.csv"
    path.write_text("op,GroupId,MsgSeq\n" + "".join(f"clear_group_messages,@g{row},7\n" for row in range(rows)))
    return path


class Watch:
    """Looks at the permissions of everything below a folder, again and again, for the length of a `with` block."""

    def __init__(self, folder: Path, *, but: set[str]) -> None:
        self._folder = folder
        self._but = but
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self.seen: dict[str, set[int]] = {}

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self.look()

    def _look(self) -> None:
        while not self._over.wait(0.005):
            self.look()

    def look(self) -> None:
        for folder, _, names in os.walk(self._folder):
            for name in {*names, "."} - self._but:
                path = Path(folder, name)
                try:
                    mode = path.lstat().st_mode
                except OSError:
                    continue  # it was there a moment ago
                if path not in (self._folder, self._folder / "home"):
                    self.seen.setdefault(str(path.relative_to(self._folder)), set()).add(stat.S_IMODE(mode))


def test_every_file_is_private_even_with_an_umask_of_zero(tmp_path: Path) -> None:
    """Ledger, log, shared memory, lock, half-built ledger, plan, log file, results: 0600 from the first moment to the last."""
    job(tmp_path, 60)
    with OtherServer() as server, Watch(tmp_path, but={"job.csv"}) as watch:
        env = credentials(server) | {"TMPDIR": str(tmp_path / "home")}
        for arguments in (
            ("plan", "job.csv", "--ledger", "plan.db"),
            ("run", "job.csv", "--yes", "--log-level", "debug", "--log-file", "run.log", "--rate", "60"),
            ("results", "job.ledger.db", "-o", "out.csv"),
        ):
            driven(tmp_path, *arguments, prelude=GENEROUS, env=env).expect(0)
    files = {name: modes for name, modes in watch.seen.items() if not name.endswith(".")}

    made = {"plan.db", "job.ledger.db", "job.ledger.db-wal", "job.ledger.db-shm", "job.ledger.db.lock", "run.log", "out.csv"}
    assert made <= set(files)
    assert {name: modes for name, modes in files.items() if modes != {0o600}} == {}
    assert set().union(*watch.seen.values()) <= {0o600, 0o700}


@pytest.fixture
def unfinished(tmp_path: Path) -> Path:
    """The ledger of a sandbox run that has something left to do."""
    job(tmp_path, 4)
    bulkops("run", str(tmp_path / "job.csv"), "--sandbox", "--yes", "--canary", "2")
    return tmp_path / "job.sandbox.ledger.db"


@pytest.mark.parametrize("suffix", ["-wal", "-shm", "-journal", ".lock", ".bulkops-new"])
def test_a_link_beside_a_ledger_is_not_followed_later_either(suffix: str, unfinished: Path) -> None:
    """Somebody plants it between two commands: what it points to stays as it is, or does not come into being."""
    victim = unfinished.with_name("victim")
    for there in (True, False):
        if there:
            victim.write_text("precious\n")
        link = Path(f"{unfinished}{suffix}")
        link.unlink(missing_ok=True)
        link.symlink_to(victim)
        for arguments in (["status"], ["results"], ["resume"]):
            ended = bulkops(arguments[0], str(unfinished))
            assert ended.code in {0, 5}, ended
        assert victim.exists() == there
        assert not there or victim.read_text() == "precious\n"
        victim.unlink(missing_ok=True)
