"""Fixtures of the end-to-end tests: the other server, and the command in a scratch folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.command import Command
from tests.helpers.otherserver_handle import OtherServer


@pytest.fixture(scope="session")
def _process() -> Iterator[OtherServer]:
    """The other server's process. Starting one takes longer than most tests."""
    with OtherServer() as running:
        yield running


@pytest.fixture
def server(_process: OtherServer) -> OtherServer:
    """The other server, as if just started for this test alone."""
    _process.fresh()
    return _process


@pytest.fixture
def command(tmp_path: Path, server: OtherServer) -> Iterator[Command]:
    """The command with credentials for the other server."""
    made = Command(tmp_path, server)
    yield made
    made.end()


@pytest.fixture
def bare(tmp_path: Path) -> Iterator[Command]:
    """The command without credentials."""
    made = Command(tmp_path)
    yield made
    made.end()
