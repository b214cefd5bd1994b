"""The benchmarks' own instruments: a server that counted wrongly would make every figure worthless."""

from __future__ import annotations

import asyncio
import json
import time
from array import array
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from benchmarks import charts, profiles, server
from benchmarks.server import Conditions, Connection, Target, length_of, steady_rate, worst_window

PATH = b"/v4/recentcontact/delete?sdkappid=1"


class _Written(asyncio.Transport):
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.aborted = False

    def write(self, data: Any) -> None:
        self.written.append(bytes(data))

    def is_closing(self) -> bool:
        return self.aborted

    def abort(self) -> None:
        self.aborted = True


class _NoTimer:
    """Where answers are due at once."""

    def __call__(self, *_: object) -> Any:
        raise AssertionError("nothing is to wait here")


def connected(conditions: Conditions) -> tuple[Target, Connection, _Written]:
    """A server with one connection."""
    target = Target(conditions)
    connection = Connection(target, _NoTimer())
    transport = _Written()
    connection.connection_made(transport)
    return target, connection, transport


def request(body: bytes, header: bytes = b"Content-Length") -> bytes:
    """A call as it comes over the wire."""
    return b"POST %b&identifier=a HTTP/1.1\r\nHost: x\r\n%b: %d\r\n\r\n%b" % (PATH, header, len(body), body)


def codes(transport: _Written) -> list[int]:
    """The ErrorCodes of the answers."""
    return [json.loads(answer.partition(b"\r\n\r\n")[2])["ErrorCode"] for answer in transport.written]


def figures(target: Target) -> dict[str, Any]:
    """What the only lane came to."""
    [lane] = target.lanes.values()
    return lane.figures()


@pytest.mark.parametrize(
    ("times", "worst"),
    [
        ([], 0),
        ([0.0, 0.5, 0.999], 3),
        ([0.0, 0.5, 1.0], 2),  # exactly a second apart is not the same second
        ([0.0, 0.9, 1.0, 1.1, 1.8999], 4),
    ],
)
def test_the_worst_second_starts_anywhere(times: list[float], worst: int) -> None:
    """The worst second is found wherever it starts, and is half open."""
    assert worst_window(array("d", times)) == worst


def test_a_burst_at_the_start_does_not_flatter_the_steady_rate() -> None:
    """Whoever never has more than 200 in a second is never said to make more than 200 a second."""
    times = array("d", [0.0, *(1.0 + window * 1.005 + n / 1000 for window in range(4) for n in range(200))])

    assert worst_window(times) == 200
    assert 198.0 <= steady_rate(times, len(times) - 1) <= 200.0


def test_what_comes_after_the_last_new_operation_does_not_lower_the_steady_rate() -> None:
    """Retries that trickle in after everything was asked for once are no unused quota."""
    times = array("d", [n / 100 for n in range(500)] + [20.0, 40.0])

    assert steady_rate(times, 499) == pytest.approx(100, rel=0.01)


def test_requests_are_told_apart_however_they_are_cut() -> None:
    """Two calls in one piece, and one in many pieces, are three calls."""
    target, connection, transport = connected(Conditions())
    connection.data_received(request(b'{"a": 1}') + request(b'{"a": 2}'))
    for byte in request(b'{"a": 3}', header=b"content-length"):
        connection.data_received(bytes([byte]))

    assert codes(transport) == [0, 0, 0]
    assert target.lanes[PATH].executed == {hash(b'{"a": %d}' % n) for n in (1, 2, 3)}


def test_the_limit_is_enforced_to_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 300 calls in 0.9 s exactly 200 pass, and the next as soon as the first is a second old; rejected ones don't count."""
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    target = Target(Conditions(enforce=200))
    answers = []
    for n in range(300):
        now = n * 0.003
        answers.append(target.call(PATH, b"%d" % n))
    now = 0.9999
    late = target.call(PATH, b"late")
    now = 1.0

    assert answers == [server.OK] * 200 + [server.THROTTLED] * 100
    assert late == server.THROTTLED
    assert target.call(PATH, b"again") == server.OK
    assert figures(target)["rejected"] == 101
    assert figures(target)["worst"] == 301


def test_an_operation_that_is_carried_out_twice_is_a_repeat() -> None:
    """Calls that failed are no execution; one that was cut off after its effect is."""
    target = Target(Conditions(fail=1.0))
    target.call(PATH, b"x")
    assert (figures(target)["executed"], figures(target)["repeated"]) == (0, 0)

    target.use(Conditions(drop=1.0))
    assert target.call(PATH, b"x") is None
    assert target.call(PATH, b"x") is None
    assert (figures(target)["executed"], figures(target)["repeated"]) == (1, 1)


def test_apps_are_counted_apart() -> None:
    """Two apps on one API are two lanes, whatever follows in the query."""
    target, connection, _ = connected(Conditions())
    connection.data_received(request(b"{}") + request(b"{}").replace(b"sdkappid=1", b"sdkappid=2"))

    assert sorted(target.lanes) == [PATH, PATH.replace(b"=1", b"=2")]


def test_a_request_without_a_length_has_no_body() -> None:
    """GET has no Content-Length, and no body to wait for."""
    data = b"GET /stats HTTP/1.1\r\nHost: x\r\n\r\n"

    assert length_of(data, data.index(b"\r\n\r\n")) == 0


def test_pictures_are_well_formed_whatever_they_show() -> None:
    """Labels with markup in them end up as text."""
    bars = charts.bars("a < b", "x & y", [charts.Bar("<i>", 1.0, "1"), charts.Bar("none", 0.0, "0")], goal=2.0, goal_text="≥ 2")
    lines = charts.lines("t", "s", {"<b>": [(0.0, 0.0), (1.0, 400.0)]}, x_text="s", limit=200, limit_text="limit")

    for picture in (bars, lines):
        assert "script" not in {element.tag.rpartition("}")[2] for element in ET.fromstring(picture).iter()}


def test_the_last_second_before_each_moment_is_counted() -> None:
    """The curve shows how many calls came in the second before, to its end."""
    curve = charts.last_second([0.0, 0.1, 0.2, 5.0], upto=10.0, step=0.5)

    assert curve[:4] == [(0.0, 1.0), (0.5, 3.0), (1.0, 2.0), (1.5, 0.0)]


@pytest.mark.parametrize(
    ("stack", "layer"),
    [
        (
            ["run (asyncio/runners.py:1)", "send (bulkops/chat/client.py:1)", "write (asyncio/selector_events.py:9)"],
            "event loop: sockets",
        ),
        (["run (asyncio/runners.py:1)", "acquire (bulkops/engine/limiter.py:9)"], "engine: limiter and bucket"),
        (["_find_and_load (<frozen importlib._bootstrap>:1)", "x (bulkops/engine/limiter.py:9)"], "start-up: imports"),
        (["x (somewhere.py:1)"], "everything else"),
    ],
)
def test_a_sample_belongs_to_the_innermost_layer(stack: list[str], layer: str) -> None:
    """Time is put under the layer that spends it, imports aside."""
    assert profiles.layer_of(stack) == layer
