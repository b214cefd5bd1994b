"""Runs that stop themselves: nothing marked failed, the reason and the remedy in words, complete once it is mended (contract, 4)."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from tests.e2e.support import check_reconciled, check_summary, conversations, mixed, seldom
from tests.helpers.command import Command, Ended, credentials
from tests.helpers.otherserver_handle import KEY, OtherServer

pytestmark = pytest.mark.slow

_OTHER_KEY = "f" * 64


def stopped_run(command: Command, *flags: str, operations: int = 30, **options: str) -> Ended:
    """A run of a small mixed job that stops itself: exit 3, all that was not carried out pending, nothing failed."""
    command.file("job.csv", mixed(operations).csv())
    ended = command.run("run", "job.csv", "--yes", "--json", *flags, env=options).expect(3)
    check_summary(ended.json)
    assert ended.json["state"] == "stopped"
    assert ended.json["exit"] == 3
    assert ended.json["reason"]
    assert ended.json["by_status"]["failed"] == ended.json["by_status"]["exhausted"] == ended.json["by_status"]["in_doubt"] == 0
    assert ended.continuation == ("resume", "job.ledger.db")
    return ended


def test_a_wrong_key_costs_one_call_per_lane_and_is_mended_by_a_resume(command: Command, server: OtherServer) -> None:
    """70009: exit 3 after at most one call per lane, nothing failed, the remedy named; with the right key it completes (4)."""
    ended = stopped_run(command, BULKOPS_SECRET_KEY=_OTHER_KEY)

    assert 1 <= server.count <= 3
    assert server.record.labels == {"70009": server.count}
    assert ended.json["by_status"]["pending"] == 30
    assert "BULKOPS_SECRET_KEY" in ended.screen
    mended = command.run(*ended.continuation, "--json").expect(0)
    check_reconciled(mended.json, server.record, mixed(30))
    assert mended.json["by_status"]["succeeded"] == 30


def test_an_account_that_is_no_admin_stops_the_run(command: Command, server: OtherServer) -> None:
    """60010: exit 3, and the message says to make the identifier an administrator (4)."""
    ended = stopped_run(command, BULKOPS_IDENTIFIER="somebody")

    assert server.count <= 3
    assert "admin" in ended.screen
    assert command.run("resume", "job.ledger.db", "--identifier", "administrator", "--json").expect(0).json["exit"] == 0


def test_an_unknown_app_stops_the_run_and_another_may_carry_on(command: Command) -> None:
    """60006: exit 3; as nothing has ended yet, the resume may name another SDKAppID (3, 4)."""
    ended = stopped_run(command, BULKOPS_SDKAPPID="1400000001")

    assert "BULKOPS_SDKAPPID" in ended.screen
    command.run("resume", "job.ledger.db", "--json").expect(0)


@pytest.mark.parametrize(
    ("code", "hint"),
    [
        (70016, "region"),
        (60021, "allow list"),
        seldom(70020, "region"),
        seldom(60020, "plan"),
        seldom(70050, "wait"),
        seldom(50003, "admin"),
    ],
)
def test_fatal_codes_stop_the_run_and_say_what_to_mend(code: int, hint: str, command: Command, server: OtherServer) -> None:
    """A code that no call can get past, mid-run: drain, exit 3, the operation stays pending, the remedy in words (4)."""
    server.order({"skip": 10, "code": code, "info": "no"})

    ended = stopped_run(command)

    assert str(code) in ended.screen
    assert hint in ended.screen.lower()
    assert ended.json["by_status"]["succeeded"] + ended.json["by_status"]["pending"] == 30
    assert server.record.labels[str(code)] <= 20


def test_a_code_that_is_fatal_for_its_api_lets_the_other_lanes_finish(command: Command, server: OtherServer) -> None:
    """51013: that API stops, the others finish their work, exit 3; once mended the resume completes it (4)."""
    server.order({"op": "delete_conversation_group", "code": 51013})

    ended = stopped_run(command)

    assert ended.json["by_status"] == {**dict.fromkeys(ended.json["by_status"], 0), "succeeded": 20, "pending": 10}
    assert ended.json["apis"]["delete_conversation_group"]["codes"] == {"51013": 1}
    server.order()
    command.run("resume", "job.ledger.db").expect(0)


def test_10007_is_fatal_only_before_the_first_success_of_its_api(command: Command, server: OtherServer) -> None:
    """10007 as the first answer stops the API (3); after a success it is a refusal of that one operation (1) (4)."""
    server.order({"op": "clear_group_messages", "code": 10007})
    ended = stopped_run(command)
    assert ended.json["by_status"]["pending"] == 10

    server.order({"op": "clear_group_messages", "skip": 3, "count": 2, "code": 10007})
    resumed = command.run("resume", "job.ledger.db", "--json").expect(1)

    assert resumed.json["by_status"]["failed"] == 2
    assert resumed.json["by_status"]["succeeded"] == 28


def test_fifty_refusals_alike_at_the_start_stop_the_run(command: Command, server: OtherServer) -> None:
    """The first 50 ended operations of an API all refused with one code: exit 3 instead of a job full of failures (4)."""
    server.order({"code": 50002, "info": "bad"})
    command.file("job.csv", conversations(300).csv())

    ended = command.run("run", "job.csv", "--yes", "--json").expect(3)

    check_summary(ended.json)
    assert 50 <= ended.json["by_status"]["failed"] <= 100
    assert ended.json["by_status"]["pending"] >= 200
    assert "50002" in ended.json["reason"]


def test_a_stale_usersig_is_renewed_and_costs_nothing(command: Command, server: OtherServer) -> None:
    """70001 mid-run: renewed, sent again, the job completes, no attempt charged (4)."""
    server.order({"skip": 20, "count": 2, "code": 70001})
    command.file("job.csv", conversations(100).csv())

    ended = command.run("run", "job.csv", "--yes", "--json", "--max-attempts", "1").expect(0)

    check_reconciled(ended.json, server.record, conversations(100))
    assert ended.json["by_status"]["succeeded"] == 100


def test_a_usersig_that_stays_stale_stops_the_run_and_names_clock_skew(command: Command, server: OtherServer) -> None:
    """Three renewals in a row without success: exit 3, at most one a second, and the clock is named (4)."""
    server.order({"code": 70001})

    ended = stopped_run(command)

    assert "clock" in ended.screen
    assert ended.seconds > 2
    assert server.count <= 15
    assert ended.json["by_status"]["pending"] == 30


@pytest.mark.parametrize(
    "order",
    [
        {"http": 404, "body": "<html>not found</html>"},
        seldom({"http": 403, "body": "no"}),
        {"http": 302, "body": "", "headers": {"Location": "http://127.0.0.1:9/"}},
        seldom({"http": 407, "body": ""}),
    ],
    ids=lambda order: str(order["http"]),
)
def test_a_host_that_is_not_the_api_stops_the_run(order: dict[str, object], command: Command, server: OtherServer) -> None:
    """3xx, 403, 404 or 407 without an ErrorCode as first answers, three times in a row: exit 3, nothing followed (4)."""
    server.order(order)

    ended = stopped_run(command)

    assert "not the API" in ended.screen or "no API" in ended.screen
    assert ended.json["by_status"]["pending"] == 30
    assert server.count <= 9


@pytest.fixture
def tls_server(tmp_path: Path) -> Iterator[tuple[OtherServer, trustme.CA]]:
    """The other server over https, and the authority that signed its certificate."""
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    pem = tmp_path / "server.pem"
    pem.write_bytes(certificate.private_key_pem.bytes() + b"".join(blob.bytes() for blob in certificate.cert_chain_pems))
    with OtherServer(pem=pem) as running:
        yield running, authority


def test_a_wrong_certificate_stops_the_run_and_ca_file_mends_it(
    tmp_path: Path, bare: Command, tls_server: tuple[OtherServer, trustme.CA]
) -> None:
    """A certificate that nobody trusts: exit 3 within seconds, no call; with --ca-file the resume completes (4)."""
    server, authority = tls_server
    bare.environ |= credentials(server)

    ended = stopped_run(bare)

    assert server.count == 0
    assert "certificate" in ended.screen
    assert ended.seconds < 10
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    bare.run("resume", "job.ledger.db", "--ca-file", "ca.pem").expect(0)
    assert server.count == 30


@pytest.mark.stress
@pytest.mark.parametrize("where", ["refused", "dns"])
def test_a_host_that_is_never_reached_stops_the_run_after_half_a_minute(where: str, command: Command) -> None:
    """No connection at all for 30 s: exit 3 naming host and cause, nothing charged, nothing failed (4)."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    endpoint = f"http://127.0.0.1:{port}" if where == "refused" else "https://no-such-host.invalid"

    ended = stopped_run(command, BULKOPS_ENDPOINT=endpoint)

    assert 29 < ended.seconds < 40
    assert ("127.0.0.1" if where == "refused" else "no-such-host.invalid") in ended.screen
    assert ended.json["calls"] == 0
    assert ended.json["by_status"]["pending"] == 30


def test_an_outage_in_the_middle_is_waited_out(command: Command, server: OtherServer) -> None:
    """Refused connections for a few seconds: the run waits, nothing is charged, and then it completes (4)."""
    command.file("job.csv", conversations(300).csv())
    run = command.start("run", "job.csv", "--yes", "--json", "--max-attempts", "1")
    server.wait_for_calls(100)
    server.set(listen=False)
    time.sleep(2.0)
    server.set(listen=True)

    ended = run.wait()

    assert ended.code in {0, 1}
    check_reconciled(ended.json, server.record, conversations(300))
    cut_off = ended.json["by_status"]["in_doubt"]
    assert ended.json["by_status"]["succeeded"] + cut_off == 300
    assert cut_off <= 10, "only calls that were in flight when the server went can be in doubt"


@pytest.mark.parametrize(
    ("endpoint", "says"),
    [
        ("http://console.tim.qq.com", "https"),
        seldom("ftp://127.0.0.1", "https://"),
        seldom("https://user:secretword@host", "scheme, host and port"),
        ("https://console.tim.qq.com/v4?usersig=secretword", "scheme, host and port"),
        seldom("console.tim.qq.com", "--region"),
    ],
)
def test_an_endpoint_that_cannot_be_used_is_a_usage_error(endpoint: str, says: str, command: Command) -> None:
    """Plain http beyond loopback, no URL, or more than scheme, host and port: exit 2, in words, showing no secret (4)."""
    command.file("job.csv", conversations(3).csv())

    ended = command.run("run", "job.csv", "--yes", env={"BULKOPS_ENDPOINT": endpoint}).expect(2)

    assert says in ended.screen
    assert "secretword" not in ended.screen


def test_region_and_endpoint_that_differ_are_a_usage_error(command: Command) -> None:
    """--region and --endpoint that name different hosts: exit 2. An unknown region is told the known ones (4)."""
    command.file("job.csv", conversations(3).csv())

    both = command.run("run", "job.csv", "--yes", "--region", "seoul", "--endpoint", "https://console.tim.qq.com").expect(2)
    unknown = command.run("run", "job.csv", "--yes", "--region", "tokio").expect(2)

    assert "--region and --endpoint" in both.screen
    assert "tokyo" in unknown.screen


@pytest.mark.parametrize(
    "region", ["china", "tokyo", *map(seldom, ("singapore", "seoul", "frankfurt", "siliconvalley", "jakarta"))]
)
def test_the_plan_names_the_host_of_each_region(region: str, bare: Command) -> None:
    """Regions by name, with the vendor's hosts (4)."""
    hosts = {
        "china": "console.tim.qq.com",
        "singapore": "adminapisgp.im.qcloud.com",
        "seoul": "adminapikr.im.qcloud.com",
        "tokyo": "adminapijpn.im.qcloud.com",
        "frankfurt": "adminapiger.im.qcloud.com",
        "siliconvalley": "adminapiusa.im.qcloud.com",
        "jakarta": "adminapiidn.im.qcloud.com",
    }
    bare.file("job.csv", conversations(3).csv())

    ended = bare.run("plan", "job.csv", "--region", region).expect(0)

    assert f"https://{hosts[region]}" in ended.stdout


def test_the_key_never_appears_in_a_stop(command: Command) -> None:
    """A wrong key is never shown, however loud the log (3)."""
    ended = stopped_run(command, "--log-level", "debug", BULKOPS_SECRET_KEY=_OTHER_KEY)

    assert _OTHER_KEY not in ended.stdout + ended.stderr
    assert KEY not in ended.stdout + ended.stderr
    assert "usersig=" not in ended.stderr.lower()
