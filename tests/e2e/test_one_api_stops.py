"""One API stops for itself: the others go on, with everything that was asked for (contract, 4 and 5)."""

from __future__ import annotations

import pytest

from tests.e2e.support import check_summary, mixed
from tests.helpers.command import Command
from tests.helpers.otherserver_handle import OtherServer

pytestmark = pytest.mark.slow

GROUPS_REFUSED = {"op": "delete_conversation_group", "code": 51013}
"""Fatal for its API: the app has no conversation groups."""


def test_the_canary_of_the_others_is_still_a_canary(command: Command, server: OtherServer) -> None:
    """`--yes` doesn't answer it, and a stop of one API doesn't either: the others stand still after their first five."""
    server.order(GROUPS_REFUSED)
    command.file("job.csv", mixed(60).csv())

    stopped = command.run("run", "job.csv", "--canary", "5", "--yes", "--json").expect(3)

    check_summary(stopped.json)
    calls = {op: len(made) for op, made in server.record.by_op.items()}
    assert calls["delete_conversation"] == calls["clear_group_messages"] == 5
    assert "51013" in stopped.json["reason"]
    server.order()
    ended = command.run(*stopped.continuation, "--json").expect(0)
    assert ended.json["by_status"]["succeeded"] == 60


def test_the_guard_on_failures_still_counts(command: Command, server: OtherServer) -> None:
    """`--max-failures` is of the whole process, whatever one API does."""
    refused = [
        {"where": {"From_Account": f"user{place}"}, "op": "delete_conversation", "code": 50001 + place % 2}
        for place in range(0, 300, 3)
    ]
    server.order(GROUPS_REFUSED, *refused)
    command.file("job.csv", mixed(300).csv())

    stopped = command.run("run", "job.csv", "--max-failures", "5", "--rate", "20", "--yes", "--json").expect(3)

    assert 5 <= stopped.json["by_status"]["failed"] <= 40
    assert stopped.json["by_status"]["pending"] > 150


def test_the_time_limit_still_holds(command: Command, server: OtherServer) -> None:
    """`--max-duration` ends the others: they would need 20 s at this rate."""
    server.order(GROUPS_REFUSED)
    command.file("job.csv", mixed(300).csv())

    stopped = command.run("run", "job.csv", "--rate", "5", "--max-duration", "3s", "--yes", "--json").expect(3)

    assert stopped.json["elapsed_s"] < 6
    assert stopped.json["by_status"]["pending"] > 200
    server.order()
