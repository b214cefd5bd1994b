"""The service behind the HTTP: order of refusals, what exists, what an effect changes, and what is counted."""

from __future__ import annotations

import json

import pytest

from bulkops.chat.catalog import APIS, CLEAR_GROUP_MESSAGES, DELETE_CONVERSATION, DELETE_CONVERSATION_GROUP
from bulkops.model import Api
from bulkops.sandbox import DEMO_IDENTIFIER, DEMO_KEY, DEMO_SDKAPPID
from bulkops.sandbox.answers import Answer
from bulkops.sandbox.draws import Drawn
from bulkops.sandbox.faults import Fault, Kind
from bulkops.sandbox.quota import SECOND
from bulkops.sandbox.service import Options, Service
from bulkops.sandbox.world import EVERYTHING
from tests.helpers.sandbox import ONE_TO_ONE, ONE_TO_ONE_CONTENT, query, usersig

NOW = 1_800_000_000
START = 1000 * SECOND
OTHER_APP = 1400000001
OTHER_KEY = "f" * 64


def service(
    *faults: str, limit: int | None = None, enforce: bool = True, track: bool = True, tolerance: float = 0.0
) -> Service:
    options = Options(
        apps={DEMO_SDKAPPID: DEMO_KEY, OTHER_APP: OTHER_KEY},
        admins=frozenset({DEMO_IDENTIFIER}),
        limit=limit,
        enforce=enforce,
        track=track,
        tolerance=tolerance,
    )
    return Service(options, [Fault.parse(fault) for fault in faults], START)


class Driver:
    """Calls a service at moments of the test's choosing."""

    def __init__(self, target: Service) -> None:
        self.service = target
        self.query = query(usersig=usersig(issued=NOW))

    def call(
        self, api: Api = DELETE_CONVERSATION, body: bytes | None = ONE_TO_ONE, *, at: int = START, q: str = ""
    ) -> tuple[Answer, Drawn]:
        text = q or self.query
        arrived = self.service.arrive(api, text, f"/{api.path}?…", at)
        return self.service.decide(arrived, body, NOW, self.service.elapsed(at))

    def code(self, api: Api = DELETE_CONVERSATION, body: bytes | None = ONE_TO_ONE, *, at: int = START, q: str = "") -> str:
        """The ErrorCode in digits, or how else it is counted."""
        return self.call(api, body, at=at, q=q)[0].label

    def names(self, user: str, name: str) -> str:
        return self.code(DELETE_CONVERSATION_GROUP, json.dumps({"From_Account": user, "GroupName": [name]}).encode())

    def clear(self, group: str, seq: int | None = None) -> str:
        fields: dict[str, object] = {"GroupId": group} | ({} if seq is None else {"MsgSeq": seq})
        return self.code(CLEAR_GROUP_MESSAGES, json.dumps(fields).encode())


def test_the_limit_is_exact_at_the_edge_of_the_second() -> None:
    driver = Driver(service(limit=3))

    codes = [driver.code(at=START + offset) for offset in (0, 1, 2, SECOND - 1, SECOND, SECOND)]

    assert codes == ["0", "0", "0", "60007", "0", "60007"]
    stats = driver.service.stats(DELETE_CONVERSATION, START + SECOND)
    assert (stats.calls, stats.rejected, stats.effects, stats.worst_second) == (6, 2, 4, 5)


def test_by_default_the_limit_is_what_the_catalog_says() -> None:
    driver = Driver(service())

    codes = [driver.code() for _ in range(201)]

    assert codes.count("0") == DELETE_CONVERSATION.rate == 200
    assert codes[-1] == "60007"


def test_every_api_and_every_app_has_its_own_window() -> None:
    driver = Driver(service(limit=1))
    other = query(sdkappid=str(OTHER_APP), usersig=usersig(sdkappid=OTHER_APP, key=OTHER_KEY, issued=NOW))

    assert [driver.code(), driver.clear("g"), driver.code(q=other), driver.code()] == ["0", "0", "0", "60007"]
    assert driver.service.stats(DELETE_CONVERSATION, START).worst_second == 2
    assert len(driver.service.departures(DELETE_CONVERSATION.op)) == 3


def test_a_limit_that_is_not_enforced_is_counted_all_the_same() -> None:
    driver = Driver(service(limit=1, enforce=False))

    assert [driver.code() for _ in range(5)] == ["0"] * 5
    assert driver.service.stats(DELETE_CONVERSATION, START).worst_second == 5


def test_an_unknown_app_has_no_window_and_is_counted() -> None:
    driver = Driver(service(limit=1))
    unknown = query(sdkappid="7", usersig=usersig(sdkappid=7, issued=NOW))

    assert [driver.code(q=unknown) for _ in range(3)] == ["70020"] * 3
    assert driver.service.stats(DELETE_CONVERSATION, START).calls == 3


@pytest.mark.parametrize(("limit", "tolerance"), [(0, 0.0), (None, 1.0)])
def test_options_out_of_range_are_refused_at_once(limit: int | None, tolerance: float) -> None:
    with pytest.raises(ValueError, match=r"limit|tolerance"):
        service(limit=limit, tolerance=tolerance)


def test_the_credential_is_judged_before_the_limit_and_the_limit_before_the_body() -> None:
    driver = Driver(service(limit=1))
    driver.code()

    assert driver.code(q=query(usersig="junk")) == "70003"
    assert driver.code(body=b"no json") == "60007"
    assert driver.code(body=b"no json", at=START + SECOND) == "60003"


def test_a_body_too_long_to_read_is_60003() -> None:
    assert Driver(service()).code(body=None) == "60003"


def test_a_second_deletion_of_a_conversation_succeeds() -> None:
    """No documented code says otherwise; the repeated effect shows."""
    driver = Driver(service())

    assert [driver.code(), driver.code()] == ["0", "0"]
    stats = driver.service.stats(DELETE_CONVERSATION, START)
    assert (stats.effects, stats.repeated_effects) == (2, 1)
    assert driver.service.world.effects(DELETE_CONVERSATION.op) == {ONE_TO_ONE_CONTENT: 2}


def test_a_conversation_group_exists_for_each_user_until_it_is_deleted() -> None:
    driver = Driver(service())

    assert [driver.names("a", "x"), driver.names("a", "x"), driver.names("b", "x")] == ["0", "51009", "0"]
    assert driver.service.world.repeated(DELETE_CONVERSATION_GROUP.op) == 0
    assert driver.service.world.calls(DELETE_CONVERSATION_GROUP.op)["a\tx"] == 2


def test_conversation_groups_of_a_user_are_numbered_as_they_go() -> None:
    driver = Driver(service())
    driver.names("a", "x")
    answer, _ = driver.call(DELETE_CONVERSATION_GROUP, b'{"From_Account":"a","GroupName":["y"]}')

    assert json.loads(answer.body)["GroupItem"] == [{"GroupName": "y", "GroupId": 2}]


def test_a_conversation_group_declared_absent_is_51009() -> None:
    target = service()
    target.world.forget_conversation_group("a", "x")
    driver = Driver(target)

    assert [driver.names("a", "x"), driver.names("b", "x")] == ["51009", "0"]
    assert target.world.total(DELETE_CONVERSATION_GROUP.op) == 1


def test_a_dissolved_group_is_10010_for_clears_and_no_matter_for_conversations() -> None:
    """What a conversation with a dissolved group answers is not documented; clients do keep such conversations."""
    target = service()
    target.world.dissolve("g")
    driver = Driver(target)

    assert [driver.clear("g"), driver.clear("h")] == ["10010", "0"]
    assert driver.code(body=b'{"From_Account":"a","Type":2,"ToGroupid":"g"}') == "0"


def test_a_forgotten_user_is_50001_as_the_one_who_asks_and_not_as_the_peer() -> None:
    target = service()
    target.world.forget_user("user1")
    driver = Driver(target)

    assert driver.code() == "50001"
    assert driver.names("user1", "x") == "50001"
    assert driver.code(body=b'{"From_Account":"user2","Type":1,"To_Account":"user1"}') == "0"
    assert driver.clear("user1") == "0"


def test_a_clear_raises_the_groups_watermark_and_never_lowers_it() -> None:
    driver = Driver(service())
    world = driver.service.world
    marks = [world.cleared_to("g")]
    for seq in (5, 3, 9, None, 4):
        driver.clear("g", seq)
        marks.append(world.cleared_to("g"))

    assert marks == [0, 5, 5, 9, EVERYTHING, EVERYTHING]


def test_without_tracking_only_totals_are_kept() -> None:
    driver = Driver(service(track=False))

    assert [driver.names("a", "x"), driver.names("a", "x")] == ["0", "0"]
    world = driver.service.world
    assert (world.effects(DELETE_CONVERSATION_GROUP.op), world.calls(DELETE_CONVERSATION_GROUP.op)) == ({}, {})
    assert (world.total(DELETE_CONVERSATION_GROUP.op), world.repeated(DELETE_CONVERSATION_GROUP.op)) == (2, None)


def test_a_code_in_place_of_the_effect_leaves_no_effect() -> None:
    driver = Driver(service("50004"))

    answer, _ = driver.call()

    assert json.loads(answer.body) == {
        "ActionStatus": "FAIL",
        "ErrorCode": 50004,
        "ErrorInfo": "Internal server error. Please try again.",
        "ErrorDisplay": "",
    }
    assert driver.service.world.total(DELETE_CONVERSATION.op) == 0
    assert driver.service.world.calls(DELETE_CONVERSATION.op) == {ONE_TO_ONE_CONTENT: 1}


def test_a_code_after_the_effect_leaves_one() -> None:
    driver = Driver(service("60008:after"))

    assert driver.code() == "60008"
    assert driver.service.world.effects(DELETE_CONVERSATION.op) == {ONE_TO_ONE_CONTENT: 1}


def test_a_fault_before_the_effect_takes_the_place_of_one_after_it() -> None:
    _, drawn = Driver(service("50004", "reset-after")).call()

    assert drawn.after is None


def test_faults_fall_only_on_calls_that_would_be_carried_out() -> None:
    driver = Driver(service("50004"))

    assert driver.code(q=query(usersig="junk")) == "70003"
    assert driver.code(body=b"[]") == "60003"


@pytest.mark.parametrize(
    ("spec", "label", "status", "headers"),
    [
        ("http503", "http_503", 503, b""),
        ("http503:50005", "50005", 503, b""),
        ("throttle:60018:1500ms", "60018", 200, b"Retry-After: 2\r\n"),
        ("throttle:429:7s", "http_429", 429, b"Retry-After: 7\r\n"),
        ("poison:user2=10026", "10026", 200, b""),
        ("redirect:307:http://127.0.0.1:9/x", "http_307", 307, b"Location: http://127.0.0.1:9/x\r\n"),
    ],
)
def test_a_fault_answers_what_was_ordered(spec: str, label: str, status: int, headers: bytes) -> None:
    answer, _ = Driver(service(spec)).call()

    assert (answer.label, answer.status, answer.headers) == (label, status, headers)


def test_new_orders_replace_the_old_ones() -> None:
    driver = Driver(service("50004"))
    driver.service.order([Fault.parse("50005")])

    assert driver.code() == "50005"


def test_an_outage_of_a_kind_without_an_answer_resets() -> None:
    answer, drawn = service().shut(Fault.parse("outage=reset"), DELETE_CONVERSATION)

    assert answer.label == "reset-before"
    assert drawn.before is not None
    assert drawn.before.kind is Kind.RESET_BEFORE


def test_the_time_of_faults_begins_with_the_first_call() -> None:
    target = service("50004@2-3")
    driver = Driver(target)
    assert target.elapsed(START).first == -1.0

    codes = [driver.code(at=START + at * SECOND) for at in (10, 11, 12, 13)]

    assert codes == ["0", "0", "50004", "0"]


def test_stats_show_the_last_minute_by_seconds() -> None:
    driver = Driver(service())
    for at in (0, 0, 58, 59):
        driver.code(at=START + at * SECOND)

    stats = driver.service.stats(DELETE_CONVERSATION, START + 59 * SECOND + SECOND // 2)

    assert (stats.last_minute[0], stats.last_minute[-2:], sum(stats.last_minute)) == (2, (1, 1), 4)
    assert stats.rate_now == 1
    assert stats.rate == pytest.approx(3 / 59)
    assert (stats.first, stats.last) == (1000.0, 1059.0)


@pytest.mark.parametrize("api", APIS, ids=lambda api: api.op)
def test_an_api_that_was_never_called_has_empty_stats(api: Api) -> None:
    stats = service().stats(api, START)

    assert (stats.calls, stats.rate, stats.worst_second, stats.codes, stats.first) == (0, 0.0, 0, {}, 0.0)


def test_nothing_that_is_shown_holds_a_key() -> None:
    options = Options(apps={1: DEMO_KEY}, admins=frozenset())

    assert DEMO_KEY not in repr(options)
