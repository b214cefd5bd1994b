"""The one-line specs of faults: what each orders, and what is refused with a reason."""

from __future__ import annotations

import math

import pytest

from bulkops.sandbox.faults import Fault, Kind, Stage


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("50004=3%", {"kind": Kind.CODE, "code": 50004, "probability": 0.03}),
        ("50004", {"kind": Kind.CODE, "probability": 1.0}),
        ("60008=2%:after", {"kind": Kind.CODE, "code": 60008, "variant": "after"}),
        ("delete_conversation:50004=10%", {"op": "delete_conversation", "probability": 0.1}),
        ("recentcontact/delete:50004=10%", {"op": "delete_conversation"}),
        ("http503=1%", {"kind": Kind.HTTP, "status": 503, "probability": 0.01, "variant": ""}),
        ("http502=0.5%:empty", {"kind": Kind.HTTP, "status": 502, "variant": "empty", "probability": 0.005}),
        ("http503=0.25:50004", {"kind": Kind.HTTP, "status": 503, "code": 50004, "probability": 0.25}),
        ("throttle=5%", {"kind": Kind.THROTTLE, "code": 60007}),
        ("throttle=5%:429:2s", {"kind": Kind.THROTTLE, "status": 429, "seconds": 2.0, "code": 0}),
        ("throttle=5%:60011:1m", {"kind": Kind.THROTTLE, "code": 60011, "seconds": 60.0}),
        ("capacity=40", {"kind": Kind.CAPACITY, "amount": 40, "code": 60007}),
        ("capacity=40:429", {"kind": Kind.CAPACITY, "amount": 40, "status": 429}),
        ("reset-before=1%", {"kind": Kind.RESET_BEFORE}),
        ("reset-after=5%", {"kind": Kind.RESET_AFTER}),
        ("cut=1%", {"kind": Kind.CUT}),
        ("stall=1%", {"kind": Kind.STALL, "seconds": 12.0, "most": 12.0}),
        ("stall=1%:2s", {"kind": Kind.STALL, "seconds": 2.0}),
        ("slow=100%:80ms-120ms", {"kind": Kind.SLOW, "seconds": 0.08, "most": 0.12}),
        ("slow:1", {"kind": Kind.SLOW, "seconds": 1.0, "most": 1.0, "probability": 1.0}),
        ("drip=1%:10ms", {"kind": Kind.DRIP, "seconds": 0.01}),
        ("garbage=1%", {"kind": Kind.GARBAGE, "variant": "body"}),
        ("garbage=1%:head", {"kind": Kind.GARBAGE, "variant": "head"}),
        ("empty=1%", {"kind": Kind.EMPTY}),
        ("huge=1%:65537", {"kind": Kind.HUGE, "amount": 65537}),
        ("gzip-bomb=1%", {"kind": Kind.GZIP_BOMB, "amount": 64}),
        ("wrong-type=1%", {"kind": Kind.WRONG_TYPE, "variant": "text"}),
        ("disagree=1%:fail", {"kind": Kind.DISAGREE, "variant": "fail"}),
        ("content-type=1%", {"kind": Kind.CONTENT_TYPE}),
        ("redirect=1%", {"kind": Kind.REDIRECT, "status": 302, "url": ""}),
        ("redirect=1%:307:http://127.0.0.1:9/x", {"status": 307, "url": "http://127.0.0.1:9/x"}),
        ("close-after=10%", {"kind": Kind.CLOSE_AFTER}),
        ("idle-close:50ms", {"kind": Kind.IDLE_CLOSE, "seconds": 0.05}),
        ("idle-close=50ms", {"kind": Kind.IDLE_CLOSE, "seconds": 0.05}),
        ("outage=refuse@30-150", {"kind": Kind.OUTAGE, "variant": "refuse", "begin": 30.0, "end": 150.0}),
        ("outage=503@start:0-5", {"status": 503, "from_start": True, "begin": 0.0, "end": 5.0}),
        ("outage=50004@-2m", {"code": 50004, "begin": 0.0, "end": 120.0}),
        ("clear_group_messages:outage=hang@5-", {"variant": "hang", "op": "clear_group_messages", "end": math.inf}),
        ("freeze:3s@10s", {"kind": Kind.FREEZE, "begin": 10.0, "end": 13.0}),
        ("freeze=250ms", {"kind": Kind.FREEZE, "begin": 0.0, "end": 0.25}),
        ("poison:user7=50004", {"kind": Kind.POISON, "target": "user7", "code": 50004}),
        ("poison:@TGS#1:=a=503@5-9", {"target": "@TGS#1:=a", "status": 503, "begin": 5.0, "end": 9.0}),
        (" 50004=3% ", {"spec": "50004=3%"}),
    ],
)
def test_a_spec_orders_what_it_says(spec: str, expected: dict[str, object]) -> None:
    fault = Fault.parse(spec)

    assert {name: getattr(fault, name) for name in expected} == expected


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ("", "not of the form"),
        ("50004=3%=4", "no share"),
        ("50004=300%", "no share"),
        ("50004=lots", "no share"),
        ("50004=٣%", "no share"),
        ("0=3%", "no ErrorCode"),
        ("50004=3%:before", "'after'"),
        ("http99=1%", "no HTTP status"),
        ("http503=1%:page", "no ErrorCode"),
        ("stal=1%", "but 'stall'"),
        ("delete_conversatio:50004=1%", "but 'delete_conversation'"),
        ("nonsense-of-sorts=1%", "no fault and no API"),
        ("slow=10%", "takes one argument"),
        ("slow=10%:1s:2s", "takes one argument"),
        ("slow=10%:soon", "no duration"),
        ("slow=10%:2s-1s", "backwards"),
        ("cut=1%:half", "takes no argument"),
        ("throttle=1%:60007:1s:x", "no more"),
        ("throttle=1%:quota", "no ErrorCode"),
        ("capacity", "calls per second"),
        ("capacity=0", "calls per second"),
        ("huge=1%:0", "whole number"),
        ("gzip-bomb=1%:4096", "from 1 to 1024"),
        ("wrong-type=1%:list", "one of text"),
        ("redirect=1%:200", "300 to 399"),
        ("redirect=1%:302:ftp://127.0.0.1/", "goes to a URL"),
        ("redirect=1%:302:http://127.0.0.1/\r\nX: y", "not of the form"),
        ("redirect=1%:302:https://example.org/", "stays on this machine"),
        ("outage=refuse:now", "no argument"),
        ("outage=perhaps", "refuse, hang, reset"),
        ("delete_conversation:outage=refuse", "closes the port"),
        ("freeze", "takes one argument"),
        ("freeze:0s", "longer than 0"),
        ("poison:50004", "a target and a code"),
        ("poison:=50004", "a target and a code"),
        ("50004=3%@", "time window"),
        ("50004=3%@5", "FROM-TO"),
        ("50004=3%@9-5", "empty"),
    ],
)
def test_a_spec_that_orders_nothing_is_refused_with_the_reason(spec: str, reason: str) -> None:
    with pytest.raises(ValueError, match="can't be ordered") as caught:
        Fault.parse(spec)

    assert reason in str(caught.value)
    assert repr(spec.strip()) in str(caught.value)


def test_every_kind_of_fault_has_a_stage() -> None:
    """Doors stand before calls, and what is in no other stage spoils the answer."""
    stages = {stage: {kind for kind in Kind if kind.stage is stage} for stage in Stage}

    assert stages[Stage.DOOR] == {Kind.OUTAGE, Kind.FREEZE}
    assert stages[Stage.DELAY] == {Kind.SLOW}
    assert stages[Stage.IDLE] == {Kind.IDLE_CLOSE}
    assert Kind.RESET_BEFORE in stages[Stage.BEFORE]
    assert Kind.RESET_AFTER in stages[Stage.AFTER]
