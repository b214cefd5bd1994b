"""Few file descriptors: fewer places, said so, and the job completes (F22)."""

from __future__ import annotations

from typing import Final

import pytest

from tests.e2e.support import check_reconciled, mixed
from tests.helpers.command import Command
from tests.helpers.otherserver_handle import OtherServer

_FEW: Final = 64


@pytest.mark.slow
@pytest.mark.parametrize("limit", ["soft and hard", "soft"])
def test_f22_64_file_descriptors_suffice_and_are_named(limit: str, command: Command, server: OtherServer) -> None:
    """F22: with 64 open files the run goes on with fewer places and says so; where only the soft limit is low, it raises that."""
    job = mixed(300)
    command.file("job.csv", job.csv())
    server.set(latency=0.02)
    limits = f"{_FEW}:{_FEW}" if limit == "soft and hard" else f"{_FEW}:"

    ended = command.run("run", "job.csv", "--yes", "--json", prefix=["prlimit", f"--nofile={limits}"]).expect(0)

    check_reconciled(ended.json, server.record, job)
    assert ended.json["by_status"]["succeeded"] == 300
    assert ended.json["calls"] == 300, "nothing was tried in vain"
    assert ("only 64 open files are allowed" in ended.screen) == (limit == "soft and hard")
    if limit == "soft and hard":
        assert server.record.connections <= _FEW
        assert "ulimit -n" in ended.screen
