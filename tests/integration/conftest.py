"""Fixtures of the tests that run the command: the other server, and the command in a scratch folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.command import Command, clean_environment, credentials
from tests.helpers.crash_forks import Forks
from tests.helpers.crash_scenes import Stage
from tests.helpers.otherserver_handle import OtherServer


@pytest.fixture
def server() -> Iterator[OtherServer]:
    """The other server, in its own process."""
    with OtherServer() as running:
        yield running


@pytest.fixture
def command(tmp_path: Path, server: OtherServer) -> Iterator[Command]:
    """The command with credentials for the other server."""
    made = Command(tmp_path, server)
    yield made
    made.end()


@pytest.fixture
def forks(tmp_path: Path, server: OtherServer) -> Iterator[Forks]:
    """The command many times over, with credentials for the other server."""
    with Forks({**clean_environment(tmp_path / "home"), **credentials(server)}) as made:
        yield made


@pytest.fixture
def stage(tmp_path: Path, server: OtherServer, forks: Forks) -> Iterator[Stage]:
    """Where scenes are carried out against the other server, which asks for a retry now and then."""
    server.order({"share": 0.2, "attempts": 1, "code": 50004})
    made = Stage(forks, server, tmp_path)
    yield made
    made.close()
