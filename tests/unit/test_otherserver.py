"""The other server is as strict as it claims, and counts right. If it were not, the end-to-end tests would prove nothing."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
import zlib

import pytest

from tests.helpers.otherserver import Requests
from tests.helpers.otherserver_handle import Record, worst_window
from tests.helpers.otherserver_rules import App, Refused, expiry, read_body, read_query
from tests.helpers.otherserver_script import SHAPES, Order, Script, envelope, response
from tests.helpers.otherserver_service import Call, Peer, Service

APP = App(14, "secret", frozenset({"admin"}))
NOW = 1_700_000_000.0
DELETE = "/v4/recentcontact/delete"
GOOD = {"From_Account": "a", "Type": 1, "To_Account": "b"}


def usersig(
    identifier: str = "admin", *, sdkappid: int = 14, key: str = "secret", made: float = NOW, expire: int = 3600
) -> str:
    """A UserSig, made here from the vendor's description."""
    text = f"TLS.identifier:{identifier}\nTLS.sdkappid:{sdkappid}\nTLS.time:{int(made)}\nTLS.expire:{expire}\n"
    signed = {
        "TLS.ver": "2.0",
        "TLS.identifier": identifier,
        "TLS.sdkappid": sdkappid,
        "TLS.expire": expire,
        "TLS.time": int(made),
        "TLS.sig": base64.b64encode(hmac.digest(key.encode(), text.encode(), hashlib.sha256)).decode(),
    }
    packed = base64.b64encode(zlib.compress(json.dumps(signed).encode())).decode()
    return packed.replace("+", "*").replace("/", "-").replace("=", "_")


def query(sig: str | None = None, **changed: str) -> str:
    """A query, sound but for what is changed; an empty value leaves one out."""
    values = {
        "sdkappid": "14",
        "identifier": "admin",
        "usersig": sig or usersig(),
        "random": "7",
        "contenttype": "json",
        **changed,
    }
    return "&".join(f"{name}={value}" for name, value in values.items() if value)


class Told:
    """Takes answers."""

    def __init__(self) -> None:
        self.text = b""
        self.ends: list[str] = []

    def write(self, data: bytes) -> None:
        self.text += data

    def close(self) -> None:
        self.ends.append("close")

    def reset(self) -> None:
        self.ends.append("reset")

    @property
    def code(self) -> int:
        """The ErrorCode of the answer."""
        return int(json.loads(self.text.partition(b"\r\n\r\n")[2])["ErrorCode"])


def called(service: Service, body: object = GOOD, *, path: str = DELETE, at: float = NOW, **changed: str) -> Told:
    """One call, answered at once whatever its delay."""
    told = Told()
    peer: Peer = told
    service.call("POST", f"{path}?{query(**changed)}", json.dumps(body).encode(), at, peer, lambda _, send, *rest: send(*rest))
    return told


@pytest.fixture
def service() -> Service:
    """The server's service, without sockets."""
    return Service(APP)


@pytest.mark.parametrize(
    "text",
    [
        query(random="-1"),
        query(random="4294967296"),
        query(random="1.5"),
        query(random=""),
        query(contenttype="xml"),
        query(contenttype=""),
        query(sdkappid=""),
        query() + "&random=8",
        query() + "&more=1",
        "",
    ],
)
def test_a_query_that_breaks_the_rules_is_a_violation(text: str) -> None:
    with pytest.raises(Refused) as caught:
        read_query(text, 14)

    assert caught.value.violation


@pytest.mark.parametrize(
    ("sig", "code"),
    [
        (usersig(key="other"), 70009),
        (usersig("somebody"), 70013),
        (usersig(sdkappid=15), 70014),
        ("eJxnonsense", 70003),
        (usersig()[:-9], 70003),
    ],
)
def test_a_usersig_that_does_not_fit_is_told_why(sig: str, code: int) -> None:
    with pytest.raises(Refused) as caught:
        expiry(read_query(query(sig), 14), APP)

    assert caught.value.code == code


def test_a_usersig_is_good_until_it_expires(service: Service) -> None:
    assert called(service, at=NOW + 3599).code == 0
    assert called(service, at=NOW + 3600).code == 70001


@pytest.mark.parametrize(
    ("op", "body"),
    [
        ("delete_conversation", {"From_Account": "a", "Type": 1}),
        ("delete_conversation", {**GOOD, "Type": 2}),
        ("delete_conversation", {**GOOD, "Type": "1"}),
        ("delete_conversation", {**GOOD, "Type": True}),
        ("delete_conversation", {**GOOD, "ToGroupid": "g"}),
        ("delete_conversation", {**GOOD, "ClearRamble": 2}),
        ("delete_conversation", {**GOOD, "ClearRamble": True}),
        ("delete_conversation", {**GOOD, "From_Account": 5}),
        ("delete_conversation", {**GOOD, "From_Account": "x" * 33}),
        ("delete_conversation", {**GOOD, "extra": 1}),
        ("delete_conversation", []),
        ("delete_conversation_group", {"From_Account": "a", "GroupName": "g"}),
        ("delete_conversation_group", {"From_Account": "a", "GroupName": ["g", "h"]}),
        ("delete_conversation_group", {"From_Account": "a", "GroupName": ["ж" * 33]}),
        ("delete_conversation_group", {"From_Account": "a", "GroupName": []}),
        ("clear_group_messages", {"GroupId": ""}),
        ("clear_group_messages", {"GroupId": "g", "MsgSeq": 0}),
        ("clear_group_messages", {"GroupId": "g", "MsgSeq": 2**63}),
        ("clear_group_messages", {"GroupId": "g", "MsgSeq": 1.0}),
        ("clear_group_messages", {"MsgSeq": 1}),
    ],
)
def test_a_body_that_breaks_the_rules_is_a_violation(op: str, body: object) -> None:
    with pytest.raises(Refused) as caught:
        read_body(op, json.dumps(body).encode())

    assert caught.value.violation


def test_a_key_twice_is_a_violation() -> None:
    with pytest.raises(Refused):
        read_body("clear_group_messages", b'{"GroupId":"a","GroupId":"b"}')


def test_calls_effects_and_violations_are_counted(service: Service) -> None:
    called(service)
    called(service)
    called(service, {"From_Account": "a"})
    called(service, path="/v4/nowhere")

    target = 'delete_conversation {"From_Account":"a","To_Account":"b","Type":1}'
    assert [call.label for call in service.calls] == ["0", "0", "50002", "60009"]
    assert service.calls[0] == Call(NOW, "delete_conversation", target, "admin", 7, "0")
    assert service.effects == {target: 2}
    assert len(service.violations) == 2


def test_the_limit_is_enforced_over_any_second(service: Service) -> None:
    service.set({"enforce": 3})

    codes = [called(service, at=NOW + at).code for at in (0.0, 0.5, 0.9, 0.99, 1.0, 1.4)]

    assert codes == [0, 0, 0, 60007, 0, 60007]


def test_what_is_above_the_limit_is_turned_away_whatever_was_ordered(service: Service) -> None:
    """The record says what was answered, and nothing took effect."""
    service.set({"enforce": 1, "orders": [{"code": 70500, "effect": True}]})

    codes = [called(service).code for _ in range(2)]

    assert codes == [70500, 60007]
    assert [call.label for call in service.calls] == ["70500", "60007"]
    assert sum(service.effects.values()) == 1


def test_a_group_is_gone_once_it_was_deleted(service: Service) -> None:
    body = {"From_Account": "a", "GroupName": ["g"]}
    path = "/v4/recentcontact/del_contact_group"
    service.set({"absent": ["@TGS#1"]})

    assert [called(service, body, path=path).code for _ in range(2)] == [0, 51009]
    assert called(service, {"GroupId": "@TGS#1"}, path="/v4/group_open_http_svc/clear_group_msg").code == 10010


@pytest.mark.parametrize(
    ("order", "label", "effects", "ends"),
    [
        ({"code": 50004}, "50004", 0, []),
        ({"code": 50004, "effect": True}, "50004", 1, []),
        ({"reset": "before"}, "reset_before", 0, ["reset"]),
        ({"reset": "after"}, "reset_after", 1, ["reset"]),
        ({"stall": True, "effect": True}, "stall", 1, []),
        ({"http": 502, "body": "x"}, "http_502", 0, []),
        ({"body": "x"}, "garbage", 0, []),
        ({"cut": True}, "0", 1, ["close"]),
        ({"close": True}, "0", 1, ["close"]),
        ({"delay": 1.0}, "0", 1, []),
    ],
    ids=str,
)
def test_orders_do_what_they_say(order: dict[str, object], label: str, effects: int, ends: list[str], service: Service) -> None:
    service.set({"orders": [order]})

    told = called(service)

    assert service.calls[0].label == label
    assert sum(service.effects.values()) == effects
    assert told.ends == ends


def test_orders_pick_by_place_target_and_number() -> None:
    script = Script([{"op": "x", "where": {"a": 1}, "skip": 1, "count": 1, "code": 5}, {"attempts": 1, "code": 6}])

    def code(op: str, target: str, body: dict[str, object]) -> int | None:
        order = script.order_for(op, body, target)
        return order.code if order else None

    assert [code("x", "t", {"a": 1}) for _ in range(3)] == [6, 5, None]
    assert [code("y", "u", {}) for _ in range(2)] == [6, None]


def test_a_share_is_drawn_the_same_every_time() -> None:
    picks = [
        [script.order_for("x", {}, "t") is not None for _ in range(200)] for script in (Script([{"share": 0.3}]) for _ in "ab")
    ]

    assert picks[0] == picks[1]
    assert 30 < sum(picks[0]) < 90


def test_every_shape_holds_the_same_code() -> None:
    for shape in SHAPES:
        assert json.loads(envelope(7, "x", shape, {}))["ErrorCode"] == 7
    assert b"ActionStatus" not in envelope(0, "", "no_status", {})
    assert response(b"abc", 200, "chunked", {}, close=False).endswith(b"\r\n1\r\na\r\n2\r\nbc\r\n0\r\n\r\n")
    assert b"Connection: close" in response(b"", 200, "close", {}, close=True)


def test_requests_are_found_however_their_bytes_arrive() -> None:
    seen: list[tuple[str, str, bytes, float]] = []
    requests = Requests(lambda *request: seen.append(request))
    raw = b"POST /a HTTP/1.1\r\nContent-Length: 3\r\n\r\nabcPOST /b HTTP/1.1\r\n\r\n"

    for at, byte in enumerate(raw):
        requests.feed(bytes([byte]), float(at))

    assert seen == [("POST", "/a", b"abc", 41.0), ("POST", "/b", b"", 61.0)]


def test_the_worst_second_and_the_rate_are_what_they_are() -> None:
    times = [0.0, 0.1, *(1.0 + place / 10 for place in range(10))]
    calls = [[at, "x", "t", "admin", place, "0"] for place, at in enumerate(times)]
    record = Record({"calls": calls, "effects": {}, "violations": [], "connections": 1})

    assert worst_window(times, 1.0) == 10
    assert worst_window([0.0, 0.999, 1.0], 1.0) == 2
    assert record.worst_second("x") == 10
    assert record.rate("x") == pytest.approx(10 / 1.8)
    assert record.repeated_randoms == 0


def test_an_order_passes_only_where_the_answer_is_the_usual_one() -> None:
    assert Order(delay=1).passes
    assert Order(close=True).passes
    assert not Order(code=5).passes
    assert time.time() > NOW
