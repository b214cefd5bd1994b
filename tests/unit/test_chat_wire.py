"""Request bodies as the vendor's samples have them, and what counts as an answer."""

from __future__ import annotations

import json

import pytest

from bulkops.chat.catalog import CLEAR_GROUP_MESSAGES, DELETE_CONVERSATION, DELETE_CONVERSATION_GROUP
from bulkops.chat.wire import MAX_ANSWER, answered, body_of, no_answer, retry_after
from bulkops.model import Api, Outcome, Reply

BIGGEST = 2**63 - 1
OK = b'{"ActionStatus":"OK","ErrorCode":0,"ErrorInfo":""}'


def read(body: bytes, http: int = 200) -> Reply:
    """The reply to a response with this body."""
    return answered(http, body, hide=lambda text: text)


# Source: the sample requests of the vendor's pages.
SAMPLES = [
    (DELETE_CONVERSATION, "id1\t1\tid2\t\t1", b'{"From_Account":"id1","Type":1,"To_Account":"id2","ClearRamble":1}'),
    (DELETE_CONVERSATION, "id1\t2\t\tid2\t1", b'{"From_Account":"id1","Type":2,"ToGroupid":"id2","ClearRamble":1}'),
    (DELETE_CONVERSATION, "id1\t1\tid2\t\t", b'{"From_Account":"id1","Type":1,"To_Account":"id2"}'),
    (DELETE_CONVERSATION, "id1\t1\tid2\t\t0", b'{"From_Account":"id1","Type":1,"To_Account":"id2","ClearRamble":0}'),
    (DELETE_CONVERSATION_GROUP, "user_0001\tgroup_0001", b'{"From_Account":"user_0001","GroupName":["group_0001"]}'),
    (DELETE_CONVERSATION_GROUP, "u\t群 é", '{"From_Account":"u","GroupName":["群 é"]}'.encode()),
    (CLEAR_GROUP_MESSAGES, "@TGS#15ERQPAER\t", b'{"GroupId":"@TGS#15ERQPAER"}'),
    (CLEAR_GROUP_MESSAGES, "@TGS#15ERQPAER\t7803321", b'{"GroupId":"@TGS#15ERQPAER","MsgSeq":7803321}'),
    (CLEAR_GROUP_MESSAGES, f"g\t{BIGGEST}", b'{"GroupId":"g","MsgSeq":9223372036854775807}'),
    (CLEAR_GROUP_MESSAGES, '"\\/<>&\t1', b'{"GroupId":"\\"\\\\/<>&","MsgSeq":1}'),
]


@pytest.mark.parametrize(("api", "content", "body"), SAMPLES)
def test_a_body_is_the_vendors_sample(api: Api, content: str, body: bytes) -> None:
    """Fields in the catalog's order, integers as integers, a name as a list of one, absent ones left out."""
    assert body_of(api, content) == body


@pytest.mark.parametrize("content", ["id1\t1\tid2", "id1\t1\tid2\t\t1\t"])
def test_content_of_another_shape_is_refused(content: str) -> None:
    """A value too few or too many would land in the wrong field."""
    with pytest.raises(ValueError, match="zip"):
        body_of(DELETE_CONVERSATION, content)


SUCCESSES = [
    OK,
    b'{"ErrorCode":0}',
    b' \r\n{"ErrorCode" : 0}\n ',
    b'{"ErrorCode":0,"ActionStatus":"SomeError"}',
    b'{"ErrorCode":0,"ActionStatus":null}',
    b'{"Action1Status":"OK","ErrorCode":0}',
    b'{"ErrorCode":-0}',
    b'{"Error\\u0043ode":0}',
    b'{"GroupItem":[{"GroupName":"group_0001","GroupId":1}],"ActionStatus":"OK","ErrorCode":0,"ErrorInfo":""}',
    b'{"ResultItem":[{"ErrorCode":7},{"ErrorCode":8}],"ErrorCode":0}',
]


@pytest.mark.parametrize("http", [200, 201, 299])
@pytest.mark.parametrize("body", SUCCESSES)
def test_zero_is_success_with_a_2xx(body: bytes, http: int) -> None:
    """An integer 0, a 2xx and no FAIL: whatever else the object holds."""
    reply = read(body, http)
    assert (reply.outcome, reply.code, reply.label, reply.http) == (Outcome.ANSWERED, 0, "0", http)


@pytest.mark.parametrize("http", [200, 204, 302, 404, 429, 500, 502])
@pytest.mark.parametrize("code", [50004, 60007, 70001, -1, 12345678901, BIGGEST, -(2**63)])
def test_a_code_decides_whatever_the_status(code: int, http: int) -> None:
    """A non-zero ErrorCode is an answer under any HTTP status and any ActionStatus."""
    reply = read(json.dumps({"ActionStatus": "OK", "ErrorCode": code, "ErrorInfo": "why"}).encode(), http)
    assert reply == Reply(Outcome.ANSWERED, http, code, str(code), "why")


UNREADABLE = [
    b"",
    b" ",
    b"OK",
    b"null",
    b"true",
    b"0",
    b"[]",
    b'"ErrorCode"',
    b'[{"ErrorCode":0}]',
    b"{}",
    b'{"ActionStatus":"OK"}',
    b'{"errorcode":0}',
    b'{"ErrorCode":"0"}',
    b'{"ErrorCode":"50004"}',
    b'{"ErrorCode":0.0}',
    b'{"ErrorCode":1.0}',
    b'{"ErrorCode":5e4}',
    b'{"ErrorCode":true}',
    b'{"ErrorCode":false}',
    b'{"ErrorCode":null}',
    b'{"ErrorCode":[0]}',
    b'{"ErrorCode":{}}',
    b'{"ErrorCode":NaN}',
    b'{"ErrorCode":01}',
    b'{"ErrorCode":+1}',
    b'{"ErrorCode":9223372036854775808}',
    b'{"ErrorCode":-9223372036854775809}',
    b'{"ErrorCode":' + b"9" * 5000 + b"}",
    b'{"ErrorCode":0',
    b'{"ErrorCode":0,"ErrorInfo":"cut',
    b'{"ErrorCode":0,}',
    b"{'ErrorCode':0}",
    b'{"ErrorCode":0}}',
    b'{"ErrorCode":0} {"ErrorCode":0}',
    b'{"ErrorCode":0}<!-- -->',
    b'{"ErrorCode":0}\x00',
    b'\xef\xbb\xbf{"ErrorCode":0}',
    '{"ErrorCode":0}'.encode("utf-16"),
    b'{"ErrorCode":0,"ErrorInfo":"\xff"}',
    b'{"ErrorCode":0,"ErrorInfo":"\x01"}',
    b'{"ErrorCode":0,"x":NaN,"y":"\\ud800"}',
    b'{"ErrorCode":50004,"ErrorCode":0}',
    b'{"ErrorCode":0,"ErrorCode":0}',
    b'{"ErrorCode":50004,"Error\\u0043ode":0}',
    b'{"ActionStatus":"FAIL","ActionStatus":"OK","ErrorCode":0}',
    b"<html><body>502 Bad Gateway</body></html>",
    b"\x1f\x8b\x08\x00\x00\x00\x00\x00",
    b"[" * 60000,
    b'{"a":' * 9000 + b'{"ErrorCode":0}' + b"}" * 9000,
    b'{"ErrorCode":0,"x":"' + b"a" * MAX_ANSWER + b'"}',
]


@pytest.mark.parametrize("body", UNREADABLE, ids=range(len(UNREADABLE)))
def test_anything_else_is_no_answer(body: bytes) -> None:
    """Nothing that only looks like a success is taken for one: the call is in doubt."""
    reply = read(body)
    assert (reply.outcome, reply.code, reply.label, reply.http) == (Outcome.UNANSWERED, None, "unreadable", 200)


@pytest.mark.parametrize("body", [b"", b"<html>", b'{"ErrorCode":"0"}'])
@pytest.mark.parametrize("http", [100, 301, 302, 307, 400, 401, 403, 404, 407, 500, 502, 503, 504])
def test_a_status_without_a_code_names_itself(http: int, body: bytes) -> None:
    """A response that is no answer and not 2xx is counted by its status."""
    reply = read(body, http)
    assert (reply.outcome, reply.code, reply.label, reply.http) == (Outcome.UNANSWERED, None, f"http_{http}", http)


@pytest.mark.parametrize("http", [302, 404, 429, 500, 502])
def test_a_zero_under_a_bad_status_is_in_doubt(http: int) -> None:
    """Two halves of one response that disagree prove nothing."""
    reply = read(OK, http)
    assert (reply.outcome, reply.code, reply.label) == (Outcome.UNANSWERED, None, f"http_{http}")


@pytest.mark.parametrize("status", ["FAIL", "fail", " Fail "])
def test_a_zero_with_fail_is_in_doubt(status: str) -> None:
    """ErrorCode 0 and ActionStatus FAIL can't both be right."""
    reply = read(json.dumps({"ActionStatus": status, "ErrorCode": 0}).encode())
    assert (reply.outcome, reply.code, reply.label) == (Outcome.UNANSWERED, None, "unreadable")


@pytest.mark.parametrize("body", [b"", b"slow down", b"{}", b'{"ErrorCode":"x"}'])
def test_a_429_without_a_code_is_an_answer(body: bytes) -> None:
    """Too many requests: the status says all there is to say."""
    reply = answered(429, body, hide=lambda text: text, retry_after=7.0)
    assert (reply.outcome, reply.http, reply.code, reply.label) == (Outcome.ANSWERED, 429, None, "http_429")
    assert reply.retry_after == 7.0


def test_an_answer_may_have_64_kib() -> None:
    """The limit itself is still read; a byte more is not."""
    frame = b'{"ErrorCode":0,"x":""}'
    largest = frame.replace(b'""', b'"' + b"a" * (MAX_ANSWER - len(frame)) + b'"')
    assert len(largest) == 65536
    assert read(largest).code == 0
    assert read(largest + b" ").outcome is Outcome.UNANSWERED


@pytest.mark.parametrize(
    ("info", "text"),
    [
        ("plain", "plain"),
        ("", ""),
        (None, ""),
        (0, ""),
        (17, "17"),
        (["a", 1], '["a", 1]'),
        ({"k": "é"}, '{"k": "é"}'),
        ("a\x1b[31m\nb\0", "a\x1b[31m\nb\0"),
        ("超过限制", "超过限制"),
        ("\ud800half", "?half"),
    ],
)
def test_error_info_is_kept_as_text(info: object, text: str) -> None:
    """As received where it is text, else its JSON; nothing that could not be stored."""
    body = json.dumps({"ErrorCode": 50002, "ErrorInfo": info}).encode()
    assert read(body) == Reply(Outcome.ANSWERED, 200, 50002, "50002", text)


def test_error_info_is_cut_only_after_secrets_are_gone() -> None:
    """4,096 characters are kept, and a secret across that edge leaves no half of itself."""
    body = json.dumps({"ErrorCode": 1, "ErrorInfo": "x" * 4090 + "SECRETSECRET" + "y" * 100}).encode()
    reply = answered(200, body, hide=lambda text: text.replace("SECRETSECRET", "-"))
    assert reply.info == "x" * 4090 + "-" + "y" * 5


def test_of_a_long_text_only_what_may_be_kept_is_searched_for_secrets() -> None:
    """A server that writes 60 KB into every answer must not hold up the event loop."""
    searched: list[int] = []

    def hide(text: str) -> str:
        searched.append(len(text))
        return text

    reply = answered(200, json.dumps({"ErrorCode": 1, "ErrorInfo": "x" * 60_000}).encode(), hide=hide)
    assert len(reply.info) == 4096
    assert searched == [8192]


def test_however_deep_a_text_is_nested_the_code_decides() -> None:
    """What can be decoded can't always be written again."""
    for depth in range(1, 1100):
        body = b'{"ErrorCode":50002,"ErrorInfo":' + b"[" * depth + b"]" * depth + b"}"
        reply = read(body)
        assert reply.code in {50002, None}
        assert reply.outcome is (Outcome.ANSWERED if reply.code else Outcome.UNANSWERED)


def test_a_success_asks_nobody_to_hide_anything() -> None:
    """The usual answer has no text, and pays for none."""

    def never(text: str) -> str:
        raise AssertionError(text)

    assert answered(200, OK, hide=never).code == 0


NOW = 784111777.0  # Sun, 06 Nov 1994 08:49:37 GMT


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("", None),
        ("0", 0.0),
        ("5", 5.0),
        (" 5 ", 5.0),
        ("1.5", 1.5),
        ("300", 300.0),
        ("301", 300.0),
        ("9" * 400, 300.0),
        ("-1", None),
        ("+5", None),
        ("5s", None),
        ("soon", None),
        ("٥", None),
        ("nan", None),
        ("inf", None),
        ("Sun, 06 Nov 1994 08:49:47 GMT", 10.0),
        ("Sun, 06 Nov 1994 08:49:47 -0000", 10.0),
        ("Sun, 06 Nov 1994 09:49:37 GMT", 300.0),
        ("Sun, 06 Nov 1994 08:49:30 GMT", None),
        ("Sun, 06 Nov 1994 25:99:99 GMT", None),
        ("Sun, 06 Nov 99999999999 08:49:30 GMT", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str | None, seconds: float | None) -> None:
    """At most 300 s; nonsense and the past are nothing."""
    assert retry_after(value, now=NOW) == seconds


def test_a_date_is_measured_on_the_servers_own_clock() -> None:
    """Where the response says what time it is, our clock doesn't matter; where it says nonsense, it does."""
    until = "Sun, 06 Nov 1994 08:50:07 GMT"
    assert retry_after(until, date="Sun, 06 Nov 1994 08:50:00 GMT", now=0.0) == 7.0
    assert retry_after(until, date="today", now=NOW) == 30.0


def test_an_oversized_response_says_so() -> None:
    """The words name the status and the reason."""
    assert no_answer(200, "too long").info == "HTTP 200: too long"
