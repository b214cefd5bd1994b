"""Answers word for word, and what faults make of their bytes."""

from __future__ import annotations

import gzip
import json

import pytest

from bulkops.chat.catalog import APIS, CLEAR_GROUP_MESSAGES, DELETE_CONVERSATION, DELETE_CONVERSATION_GROUP
from bulkops.model import Api
from bulkops.sandbox.answers import TEXTS, failure, gateway, retry_after_header, success
from bulkops.sandbox.faults import Fault
from bulkops.sandbox.spoil import spoil

YES = success(CLEAR_GROUP_MESSAGES, "g\t")


@pytest.mark.parametrize(
    ("api", "content", "names"),
    [
        (DELETE_CONVERSATION, "a\t1\tb\t\t", ["ActionStatus", "ErrorCode", "ErrorInfo", "ErrorDisplay"]),
        (DELETE_CONVERSATION_GROUP, "a\tx", ["GroupItem", "ActionStatus", "ErrorCode", "ErrorInfo"]),
        (CLEAR_GROUP_MESSAGES, "g\t", ["ActionStatus", "ErrorInfo", "ErrorCode"]),
    ],
)
def test_an_answer_has_the_samples_keys_in_the_samples_order(api: Api, content: str, names: list[str]) -> None:
    assert list(json.loads(success(api, content).body)) == names


def test_a_failure_says_fail_and_the_vendors_text() -> None:
    assert json.loads(failure(10010, api=CLEAR_GROUP_MESSAGES).body) == {
        "ActionStatus": "FAIL",
        "ErrorCode": 10010,
        "ErrorInfo": TEXTS[10010],
    }
    assert json.loads(failure(99999).body)["ErrorInfo"] == "The request failed."


@pytest.mark.parametrize("api", APIS, ids=lambda api: api.op)
def test_every_documented_code_of_an_api_has_a_text(api: Api) -> None:
    """But 51007, which the API's page only names in passing."""
    assert set(api.codes) - set(TEXTS) <= {51007}


def test_retry_after_is_in_whole_seconds_rounded_up() -> None:
    assert [retry_after_header(seconds) for seconds in (0, 0.2, 2, 2.1)] == [
        b"",
        b"Retry-After: 1\r\n",
        b"Retry-After: 2\r\n",
        b"Retry-After: 3\r\n",
    ]


def test_a_gateway_answers_with_a_page_or_with_nothing() -> None:
    assert b"<h1>502</h1>" in gateway(502).body
    assert gateway(502, empty=True).body == b""


def spoilt(spec: str) -> bytes:
    return spoil(YES, Fault.parse(spec)).body


@pytest.mark.parametrize(
    ("variant", "expected"),
    [("text", "0"), ("float", 0.0), ("true", True), ("null", None)],
)
def test_the_wrong_type_is_the_one_ordered(variant: str, expected: object) -> None:
    found = json.loads(spoilt(f"wrong-type:{variant}"))["ErrorCode"]

    assert found == expected
    assert type(found) is type(expected)


def test_a_missing_code_is_missing() -> None:
    assert json.loads(spoilt("wrong-type:missing")) == {"ActionStatus": "OK", "ErrorInfo": ""}


@pytest.mark.parametrize("size", [65_536, 65_537])
def test_a_huge_answer_is_good_json_of_exactly_the_size_ordered(size: int) -> None:
    body = spoilt(f"huge:{size}")

    assert len(body) == size
    assert json.loads(body) == json.loads(YES.body)


def test_a_huge_answer_is_never_shorter_than_the_true_one() -> None:
    assert spoilt("huge:1") == YES.body


def test_a_bomb_is_small_on_the_wire_and_says_yes_once_unpacked() -> None:
    answer = spoil(YES, Fault.parse("gzip-bomb:2"))

    assert answer.headers == b"Content-Encoding: gzip\r\n"
    assert len(answer.body) < 8192
    unpacked = gzip.decompress(answer.body)
    assert len(unpacked) > 2 * 2**20
    assert json.loads(unpacked)["ErrorCode"] == 0


def test_garbage_can_not_be_read() -> None:
    with pytest.raises(ValueError, match="utf-8"):
        spoilt("garbage").decode()


def test_an_answer_disagrees_with_itself_by_status_or_by_word() -> None:
    by_status = spoil(failure(50004), Fault.parse("disagree"))
    by_word = spoil(YES, Fault.parse("disagree:fail"))

    assert (by_status.status, json.loads(by_status.body)["ErrorCode"]) == (500, 0)
    assert (by_word.status, json.loads(by_word.body)["ActionStatus"], json.loads(by_word.body)["ErrorCode"]) == (200, "FAIL", 0)


def test_a_fault_about_the_connection_leaves_the_answer_as_it_was() -> None:
    assert spoil(YES, Fault.parse("cut")) == YES
