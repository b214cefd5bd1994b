"""The sandbox over real sockets: the vendor's samples, every check as a caller sees it, the page, and the control."""

from __future__ import annotations

import asyncio
import json
import re
import ssl
import time
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
import trustme

from bulkops.chat.catalog import APIS
from bulkops.sandbox import DEMO_IDENTIFIER, DEMO_KEY, DEMO_SDKAPPID, Sandbox
from bulkops.sandbox.control import _is_loopback
from tests.helpers.sandbox import (
    CLEAR,
    DELETE,
    DELETE_GROUP,
    ONE_TO_ONE,
    ONE_TO_ONE_CONTENT,
    YES,
    Caller,
    Seen,
    call,
    query,
    until,
    usersig,
)

JSON = "Content-Type: application/json\r\n"


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox() as running:
        yield running


SAMPLE_APP = 88888888
SAMPLE_KEY = "e" * 64

SAMPLES = {
    "deleting a one-to-one conversation": (
        DELETE,
        '{\n"From_Account":"id1",\n"Type":1,\n"To_Account":"id2",\n"ClearRamble":1\n}',
        '{\n"ActionStatus": "OK",\n"ErrorCode": 0,\n"ErrorInfo": "",\n"ErrorDisplay": ""\n}',
    ),
    "deleting a group conversation": (
        DELETE,
        '{\n"From_Account":"id1",\n"Type":2,\n"ToGroupid":"id2",\n"ClearRamble":1\n}',
        '{\n"ActionStatus": "OK",\n"ErrorCode": 0,\n"ErrorInfo": "",\n"ErrorDisplay": ""\n}',
    ),
    "deleting a conversation group": (
        DELETE_GROUP,
        '{"From_Account": "user_0001","GroupName": ["group_0001" // only one conversation group can be deleted at a time.\n]}',
        '{"GroupItem": [{"GroupName": "group_0001","GroupId": 1}],"ActionStatus": "OK","ErrorCode": 0,"ErrorInfo": ""}',
    ),
    "clearing a group": (
        CLEAR,
        '{\n"GroupId": "@TGS#15ERQPAER"\n}',
        '{\n"ActionStatus": "OK",\n"ErrorInfo": "",\n"ErrorCode": 0\n}',
    ),
    "clearing a group by MsgSeq": (
        CLEAR,
        '{\n"GroupId": "@TGS#15ERQPAER",\n"MsgSeq": 7803321 // Clear messages less than or equal to MsgSeq.\n}',
        '{\n"ActionStatus": "OK",\n"ErrorInfo": "",\n"ErrorCode": 0\n}',
    ),
}
"""The vendor's sample requests and answers. Two of the requests carry a comment, which is no JSON: it is taken out."""


@pytest.mark.parametrize(("path", "request_text", "answer_text"), SAMPLES.values(), ids=SAMPLES)
async def test_a_sample_request_gets_the_sample_answer(path: str, request_text: str, answer_text: str) -> None:
    """Word for word, at the sample URL, with nothing changed but the UserSig; keys in the sample's order."""
    sig = usersig("admin", sdkappid=SAMPLE_APP, key=SAMPLE_KEY)
    url_query = f"sdkappid=88888888&identifier=admin&usersig={sig}&random=99999999&contenttype=json"
    body = re.sub(r" //.*", "", request_text).encode()

    async with Sandbox(apps={SAMPLE_APP: SAMPLE_KEY}, admins=frozenset({"admin"})) as sandbox:
        seen = await call(sandbox.url, path, body, q=url_query)

    assert (seen.status, seen.headers["content-type"], seen.ended) == (200, "application/json", "complete")
    assert list(json.loads(seen.body).items()) == list(json.loads(answer_text).items())


async def test_a_sample_with_its_comment_is_no_json(sandbox: Sandbox) -> None:
    seen = await call(sandbox.url, DELETE_GROUP, SAMPLES["deleting a conversation group"][1].encode())

    assert (seen.status, seen.code) == (200, 60003)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"usersig": usersig(issued=int(time.time()) - 7200)}, 70001),
        ({"usersig": ""}, 70002),
        ({"usersig": usersig()[:-9]}, 70003),
        ({"usersig": usersig(key="0" * 64)}, 70009),
        ({"usersig": usersig("somebody")}, 70013),
        ({"usersig": usersig(sdkappid=DEMO_SDKAPPID + 1)}, 70014),
        ({"sdkappid": "7", "usersig": usersig(sdkappid=7)}, 70020),
        ({"identifier": "user1", "usersig": usersig("user1")}, 60010),
        ({"sdkappid": None}, 60012),
        ({"sdkappid": "app"}, 60006),
        ({"random": "4294967296"}, 60002),
        ({"contenttype": "xml"}, 60002),
        ({"extra": "1"}, 60002),
    ],
)
async def test_a_bad_query_is_an_answer_of_http_200(sandbox: Sandbox, changes: dict[str, str | None], expected: int) -> None:
    seen = await call(sandbox.url, q=query(**changes))

    assert (seen.status, seen.code) == (200, expected)
    assert sandbox.stats().effects == 0


async def test_a_query_left_out_altogether_is_60002(sandbox: Sandbox) -> None:
    assert (await call(sandbox.url, q="")).code == 60002


@pytest.mark.parametrize(
    ("path", "body", "expected"),
    [
        (DELETE, b"", 60003),
        (DELETE, b"[]", 60003),
        (DELETE, ONE_TO_ONE.replace(b"To_Account", b"to_account"), 50002),
        (DELETE, ONE_TO_ONE.replace(b'"user1"', b"1"), 60015),
        (DELETE_GROUP, b'{"From_Account":"a","GroupName":["' + b"x" * 65 + b'"]}', 51011),
        (CLEAR, b'{"GroupId":"@TGS#_c"}', 10004),
        (CLEAR, b'{"GroupId":""}', 10015),
        (CLEAR, b'{"GroupId":"g"' + b" " * 70_000 + b"}", 60003),
        (CLEAR, b'{"GroupId":"g"' + b" " * 1_200_000 + b"}", 60003),
    ],
    ids=["empty", "list", "case", "number", "long name", "community", "no id", "70 kB", "1.2 MB"],
)
async def test_a_bad_body_is_an_answer_of_http_200(sandbox: Sandbox, path: str, body: bytes, expected: int) -> None:
    seen = await call(sandbox.url, path, body)

    assert (seen.status, seen.code) == (200, expected)
    assert sandbox.stats().effects == 0


async def test_a_path_below_v4_that_is_no_api_is_60009(sandbox: Sandbox) -> None:
    seen = await call(sandbox.url, "/v4/recentcontact/Delete")

    assert (seen.status, seen.code) == (200, 60009)
    assert sandbox.stats().elsewhere == {"60009": 1}


@pytest.mark.parametrize(("method", "path", "status"), [("POST", "/v3/x", 404), ("GET", "/v4/x", 404), ("GET", "/x", 404)])
async def test_what_does_not_exist_is_404(sandbox: Sandbox, method: str, path: str, status: int) -> None:
    assert (await call(sandbox.url, path, method=method)).status == status


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
async def test_an_api_takes_post_only(sandbox: Sandbox, method: str) -> None:
    seen = await call(sandbox.url, DELETE, method=method)

    assert (seen.status, seen.headers["allow"]) == (405, "POST")
    assert sandbox.stats().calls == 0


async def test_a_connection_is_kept_for_many_calls(sandbox: Sandbox) -> None:
    async with Caller(sandbox.url) as caller:
        seen = [await caller.call() for _ in range(5)]

    assert [each.json for each in seen] == [YES] * 5
    stats = sandbox.stats()
    assert (stats.connections, stats.calls, stats.effects) == (1, 5, 5)


async def test_a_caller_that_wants_the_connection_closed_gets_that(sandbox: Sandbox) -> None:
    async with Caller(sandbox.url) as caller:
        seen = await caller.call(more="Connection: close\r\n")
        assert seen.headers["connection"] == "close"
        assert await caller.closed()


async def test_a_body_that_comes_late_is_waited_for_and_the_call_counts_from_its_first_byte(sandbox: Sandbox) -> None:
    async with Caller(sandbox.url) as caller:
        begin = time.monotonic()
        head = f"POST {DELETE}?{query()} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(ONE_TO_ONE)}\r\n\r\n"
        caller.writer.write(head.encode())
        await caller.writer.drain()
        await asyncio.sleep(0.1)
        arrived = sandbox.departures("delete_conversation")
        caller.writer.write(ONE_TO_ONE)
        seen = await caller.read()

    assert seen.json == YES
    assert sandbox.departures("delete_conversation") == arrived
    assert 0 <= arrived[0] - begin < 0.1


async def test_a_library_reads_the_answers_as_well(sandbox: Sandbox) -> None:
    """The raw caller of these tests might share a mistake with the sandbox; aiohttp's client does not."""
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{sandbox.url}{DELETE}?{query()}", data=ONE_TO_ONE) as response,
    ):
        assert response.status == 200
        assert await response.json() == YES


async def test_calls_over_tls_are_answered_alike() -> None:
    authority = trustme.CA()
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("127.0.0.1").configure_cert(server)
    authority.configure_trust(client)

    async with (
        Sandbox(ssl_context=server, faults=["clear_group_messages:reset-after"]) as sandbox,
        aiohttp.ClientSession() as session,
    ):
        assert sandbox.url.startswith("https://127.0.0.1:")
        async with session.post(f"{sandbox.url}{DELETE}?{query()}", data=ONE_TO_ONE, ssl=client) as response:
            assert await response.json() == YES
        with pytest.raises(aiohttp.ClientConnectionError):
            await session.post(f"{sandbox.url}{CLEAR}?{query()}", data=b'{"GroupId":"g"}', ssl=client)
        assert sandbox.effects("clear_group_messages") == {"g\t": 1}


async def test_the_limit_over_http_is_60007_with_http_200() -> None:
    async with Sandbox(limit=2) as sandbox, Caller(sandbox.url) as caller:
        seen = [await caller.call() for _ in range(3)]
        stats = sandbox.stats().apis["delete_conversation"]

    assert [(each.status, each.code) for each in seen] == [(200, 0), (200, 0), (200, 60007)]
    assert (stats.rejected, stats.worst_second, stats.limit, stats.codes) == (1, 3, 2, {"0": 2, "60007": 1})


async def test_what_was_asked_for_can_be_looked_at_without_the_usersig(sandbox: Sandbox) -> None:
    await call(sandbox.url, more="X-Trace: 1\r\n")

    (seen,) = sandbox.last_requests()
    assert seen.op == "delete_conversation"
    assert seen.query == (
        ("sdkappid", str(DEMO_SDKAPPID)),
        ("identifier", DEMO_IDENTIFIER),
        ("random", "99999999"),
        ("contenttype", "json"),
    )
    assert (seen.headers["x-trace"], seen.body) == ("1", ONE_TO_ONE)
    assert usersig() not in repr(seen)


async def test_rights_and_keys_can_be_taken_away_mid_run(sandbox: Sandbox) -> None:
    codes: list[object] = []
    async with Caller(sandbox.url) as caller:
        codes.append((await caller.call()).code)
        sandbox.make_usersigs_stale()
        codes.append((await caller.call(q=query(usersig=usersig(issued=int(time.time()) - 1)))).code)
        sandbox.revoke_admin()
        codes.append((await caller.call(q=query(usersig=usersig(issued=int(time.time()) + 5)))).code)
        sandbox.revoke_key()
        codes.append((await caller.call()).code)

    assert codes == [0, 70052, 60010, 70009]


async def test_a_server_clock_ahead_sees_usersigs_expire_early(sandbox: Sandbox) -> None:
    sandbox.clock_offset = 4000.0
    ahead = (await call(sandbox.url)).code
    sandbox.clock_offset -= 4000.0

    assert ahead == 70001
    assert (await call(sandbox.url)).code == 0


async def test_what_does_not_exist_can_be_declared(sandbox: Sandbox) -> None:
    sandbox.forget_user("user1")
    sandbox.dissolve("g")
    sandbox.forget_conversation_group("a", "x")

    codes = [
        (await call(sandbox.url, path, body)).code
        for path, body in (
            (DELETE, ONE_TO_ONE),
            (CLEAR, b'{"GroupId":"g"}'),
            (DELETE_GROUP, b'{"From_Account":"a","GroupName":["x"]}'),
            (CLEAR, b'{"GroupId":"h","MsgSeq":7}'),
        )
    ]

    assert codes == [50001, 10010, 51009, 0]
    assert (sandbox.cleared_to("g"), sandbox.cleared_to("h")) == (0, 7)


async def test_effects_are_counted_apart_from_calls() -> None:
    async with Sandbox(faults=["50004=50%"], seed=1) as sandbox, Caller(sandbox.url) as caller:
        seen = [(await caller.call()).code for _ in range(20)]

        assert sandbox.calls("delete_conversation") == {ONE_TO_ONE_CONTENT: 20}
        assert sandbox.effects("delete_conversation") == {ONE_TO_ONE_CONTENT: seen.count(0)}
        assert 0 < seen.count(0) < 20


async def test_the_same_seed_replays_the_same_answers() -> None:
    """Also when the calls come in another order, over other connections."""
    bodies = [json.dumps({"GroupId": f"g{i}"}).encode() for i in range(40)]

    async def answers(order: list[bytes]) -> dict[bytes, object]:
        async with Sandbox(faults=["50004=30%", "http503=20%"], seed=42) as sandbox:
            seen: list[Seen] = await asyncio.gather(*(call(sandbox.url, CLEAR, body) for body in order))
        return {body: each.raw for body, each in zip(order, seen, strict=True)}

    assert await answers(bodies) == await answers(bodies[::-1])


async def test_what_is_no_http_gets_400_and_leaves_no_trace_in_the_log(
    sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    """A line of it could hold a UserSig."""
    async with Caller(sandbox.url) as caller:
        caller.writer.write(f"POST {DELETE}?{query()} HTTP/1.1\r\n\x00bad\r\n\r\n".encode())
        seen = await caller.read()

    assert seen.status == 400
    assert caplog.records == []


async def test_a_defect_of_the_sandbox_is_500_and_in_the_log(
    sandbox: Sandbox, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("a defect")

    monkeypatch.setattr(sandbox._service, "decide", broken)

    assert (await call(sandbox.url)).status == 500
    assert "a defect" in caplog.text
    assert usersig() not in caplog.text


# life


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org", ""])
async def test_it_listens_on_loopback_only(host: str) -> None:
    with pytest.raises(ValueError, match="loopback"):
        await Sandbox().start(host)


@pytest.mark.parametrize(("host", "url"), [("localhost", "http://127.0.0.1:"), ("127.0.0.2", "http://127.0.0.2:")])
async def test_it_listens_where_it_is_told(host: str, url: str) -> None:
    if host == "127.0.0.2" and not Path("/proc").exists():
        pytest.skip("only Linux answers under all of 127.0.0.0/8")
    sandbox = Sandbox()
    try:
        assert (await sandbox.start(host)).startswith(url)
        assert (await call(sandbox.url)).json == YES
    finally:
        await sandbox.stop()


async def test_it_listens_on_ipv6_where_the_machine_has_it() -> None:
    sandbox = Sandbox()
    try:
        url = await sandbox.start("::1")
    except OSError:
        pytest.skip("no IPv6 on this machine")
    try:
        assert url.startswith("http://[::1]:")
        assert (await call(url)).json == YES
    finally:
        await sandbox.stop()


async def test_a_taken_port_is_an_oserror_and_leaves_nothing_open(sandbox: Sandbox) -> None:
    port = int(sandbox.url.rsplit(":", 1)[1])
    second = Sandbox()

    with pytest.raises(OSError, match="in use"):
        await second.start(port=port)

    with pytest.raises(RuntimeError, match="not running"):
        _ = second.url


async def test_it_starts_once_at_a_time_and_stops_as_often_as_one_likes(sandbox: Sandbox) -> None:
    with pytest.raises(RuntimeError, match="running already"):
        await sandbox.start()
    await call(sandbox.url)

    await sandbox.stop()
    await sandbox.stop()

    assert sandbox.stats().calls == 1
    assert sandbox.stats().open_connections == 0
    assert (await sandbox.start()).startswith("http://")


async def test_stopping_ends_what_waits() -> None:
    async with Sandbox(faults=["slow:60s"]) as sandbox, Caller(sandbox.url) as caller:
        await caller.send()
        await until(lambda: sandbox.stats().calls)
        begin = time.monotonic()
        await sandbox.stop()
        assert await caller.closed()

    assert time.monotonic() - begin < 2.0


async def test_a_reset_forgets_what_was_counted_and_keeps_what_was_ordered() -> None:
    async with Sandbox(faults=["delete_conversation:50004"]) as sandbox:
        await call(sandbox.url)
        sandbox.forget_user("user1")

        sandbox.reset()

        assert sandbox.stats().calls == 0
        assert sandbox.last_requests() == []
        assert (await call(sandbox.url)).code == 50004


# the page and the control


async def control(sandbox: Sandbox, method: str, path: str, body: object = None, more: str = JSON) -> Seen:
    return await call(sandbox.url, path, json.dumps(body).encode() if body is not None else b"", q="", method=method, more=more)


async def test_the_page_loads_by_itself(sandbox: Sandbox) -> None:
    """It names no other host and no other file, and its policy would not let it."""
    seen = await call(sandbox.url, "/", b"", q="", method="GET")

    text = seen.body.decode()
    assert (seen.status, seen.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "default-src 'none'" in seen.headers["content-security-policy"]
    assert "<title>bulkops sandbox</title>" in text
    assert "prefers-color-scheme: dark" in text
    assert re.findall(r"(?:src|href)=\"([^\"]*)\"", text) == ["data:,"]
    assert set(re.findall(r"https?://[^\"' ]+", text)) == {"http://www.w3.org/2000/svg"}


async def test_the_page_shows_only_what_the_stats_have(sandbox: Sandbox) -> None:
    """Every figure that the page's script reads is in the JSON under that name."""
    page = (await call(sandbox.url, "/", b"", q="", method="GET")).body.decode()
    stats = (await control(sandbox, "GET", "/sandbox/stats")).json

    assert isinstance(stats, dict)
    assert set(re.findall(r"\bstats\.([a-z_]+)", page)) <= set(stats)
    assert set(re.findall(r"\bapi\.([a-z_]+)", page)) <= set(stats["apis"]["delete_conversation"])


async def test_stats_are_served_as_json(sandbox: Sandbox) -> None:
    sandbox.add_fault("clear_group_messages:50004=3%")
    await call(sandbox.url)

    seen = (await control(sandbox, "GET", "/sandbox/stats")).json

    assert isinstance(seen, dict)
    assert seen["url"] == sandbox.url
    assert seen["faults"] == ["clear_group_messages:50004=3%"]
    assert list(seen["apis"]) == [api.op for api in APIS]
    api = seen["apis"]["delete_conversation"]
    assert (api["calls"], api["codes"], api["effects"], api["repeated_effects"]) == (1, {"0": 1}, 1, 0)
    assert api["last_minute"][-1] == 1


async def test_effects_are_served_line_by_line(sandbox: Sandbox) -> None:
    await call(sandbox.url)
    await call(sandbox.url)

    seen = await call(sandbox.url, "/sandbox/effects?op=recentcontact/delete", b"", q="", method="GET")

    assert seen.headers["content-type"] == "application/x-ndjson"
    assert [json.loads(line) for line in seen.body.splitlines()] == [
        {
            "op": "delete_conversation",
            "From_Account": "user1",
            "Type": 1,
            "To_Account": "user2",
            "ClearRamble": 1,
            "effects": 2,
            "calls": 2,
        }
    ]


async def test_faults_are_ordered_and_cleared_over_http(sandbox: Sandbox) -> None:
    ordered = await control(sandbox, "POST", "/sandbox/faults", {"faults": ["50004"]})
    both = await control(sandbox, "POST", "/sandbox/faults", ["cut=1%"])
    code = (await call(sandbox.url)).code
    shown = await control(sandbox, "GET", "/sandbox/faults")
    cleared = await control(sandbox, "DELETE", "/sandbox/faults")

    assert ordered.json == {"faults": ["50004"]}
    assert both.json == shown.json == {"faults": ["50004", "cut=1%"]}
    assert code == 50004
    assert cleared.json == {"faults": []}
    assert (await call(sandbox.url)).code == 0


async def test_the_world_is_changed_and_reset_over_http(sandbox: Sandbox) -> None:
    orders = {"dissolve": ["g", "h"], "forget_users": ["user1"], "revoke_admins": [DEMO_IDENTIFIER]}
    changed = await control(sandbox, "POST", "/sandbox/world", orders)
    revoked = (await call(sandbox.url)).code
    await control(sandbox, "POST", "/sandbox/world", {"grant_admins": [DEMO_IDENTIFIER]})
    forgotten = (await call(sandbox.url)).code
    dissolved = (await call(sandbox.url, CLEAR, b'{"GroupId":"h"}')).code
    reset = await control(sandbox, "POST", "/sandbox/reset", {})

    assert changed.json == {"changed": 4}
    assert (revoked, forgotten, dissolved) == (60010, 50001, 10010)
    assert reset.json == {"reset": True}
    assert (await call(sandbox.url)).code == 0


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "reason"),
    [
        ("POST", "/sandbox/faults", {"faults": ["nonsense=1%"]}, 400, "can't be ordered"),
        ("POST", "/sandbox/faults", {"faults": "50004=1%"}, 400, "a list of specs"),
        ("POST", "/sandbox/faults", {"fault": []}, 400, "a list of specs"),
        ("POST", "/sandbox/world", {}, 400, "the world takes"),
        ("POST", "/sandbox/world", {"destroy": ["x"]}, 400, "the world takes"),
        ("POST", "/sandbox/world", {"dissolve": ["g"], "forget_users": [7]}, 400, "forget_users is a list of ids"),
        ("GET", "/sandbox/effects", None, 400, "op is one of"),
        ("GET", "/sandbox/nothing", None, 404, "nothing here"),
        ("DELETE", "/sandbox/stats", None, 404, "nothing here"),
        ("POST", "/", {}, 404, "nothing here"),
    ],
)
async def test_an_order_that_is_wrong_says_why_and_changes_nothing(
    sandbox: Sandbox, method: str, path: str, body: object, status: int, reason: str
) -> None:
    seen = await control(sandbox, method, path, body)

    assert seen.status == status
    assert reason in str(seen.json)
    assert sandbox.faults == ()
    assert (await call(sandbox.url, CLEAR, b'{"GroupId":"g"}')).code == 0


async def test_an_order_that_is_no_json_is_refused(sandbox: Sandbox) -> None:
    """A page elsewhere can post forms to this machine, but no JSON."""
    form = await control(sandbox, "POST", "/sandbox/reset", {}, more="Content-Type: text/plain\r\n")
    broken = await call(sandbox.url, "/sandbox/faults", b"{", q="", more=JSON)

    assert (form.status, broken.status) == (415, 400)


async def test_the_control_answers_under_loopback_names_only(sandbox: Sandbox) -> None:
    async with Caller(sandbox.url) as caller:
        caller.writer.write(b"GET /sandbox/stats HTTP/1.1\r\nHost: evil.example\r\n\r\n")
        seen = await caller.read()

    assert seen.status == 403
    assert [_is_loopback(host) for host in ("localhost:1", "127.0.0.1:80", "[::1]:9", "", "[", "10.0.0.1")] == [True] * 3 + [
        False
    ] * 3


async def test_no_page_shows_the_key(sandbox: Sandbox) -> None:
    await call(sandbox.url)

    for path in ("/", "/sandbox/stats", "/sandbox/effects?op=delete_conversation", "/sandbox/faults"):
        seen = await call(sandbox.url, path, b"", q="", method="GET")
        assert seen.status == 200
        assert DEMO_KEY.encode() not in seen.raw
        assert usersig().encode() not in seen.raw
