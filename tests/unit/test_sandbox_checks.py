"""What the sandbox takes of a query and a body: names case-sensitive, types strict, nothing repaired."""

from __future__ import annotations

import json

import pytest

from bulkops.chat.catalog import APIS, CLEAR_GROUP_MESSAGES, DELETE_CONVERSATION, DELETE_CONVERSATION_GROUP
from bulkops.model import Api, Field, FieldKind, Verdict
from bulkops.sandbox.checks import BodyCheck, read_query
from bulkops.sandbox.credentials import Query, Refusal

GOOD = "sdkappid=88888888&identifier=admin&usersig=eJx*y-z_&random=99999999&contenttype=json"


def refused(found: object) -> int:
    """The code of a refusal; 0 for anything else."""
    return found.code if isinstance(found, Refusal) else 0


def test_a_good_query_is_read_as_it_was_meant() -> None:
    assert read_query(GOOD) == Query(88888888, "admin", "eJx*y-z_")


def test_percent_escapes_are_undone() -> None:
    """Some clients escape the asterisks of a UserSig."""
    escaped = GOOD.replace("eJx*y-z_", "eJx%2Ay-z_").replace("=admin", "=app+admin%2B1")

    assert read_query(escaped) == Query(88888888, "app admin+1", "eJx*y-z_")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (("sdkappid=88888888&", ""), 60012),
        (("sdkappid=88888888", "SdkAppId=88888888"), 60012),
        (("sdkappid=88888888", "sdkappid="), 60006),
        (("sdkappid=88888888", "sdkappid=app"), 60006),
        (("sdkappid=88888888", "sdkappid=-1"), 60006),
        (("sdkappid=88888888", "sdkappid=99999999999"), 60006),
        (("identifier=admin&", ""), 60002),
        (("usersig=eJx*y-z_&", ""), 60002),
        (("random=99999999&", ""), 60002),
        (("&contenttype=json", ""), 60002),
        (("contenttype=json", "contenttype=xml"), 60002),
        (("contenttype=json", "contenttype=JSON"), 60002),
        (("contenttype=", "ContentType="), 60002),
        (("random=99999999", "random=-1"), 60002),
        (("random=99999999", "random=1.5"), 60002),
        (("random=99999999", "random="), 60002),
        (("random=99999999", "random=0x1f"), 60002),
        (("random=99999999", "random=4294967296"), 60002),
        (("random=99999999", "random=00000000001"), 60002),
        (("random=99999999", "random=%D9%A3"), 60002),
        (("random=99999999", "random=1&random=1"), 60002),
        (("random=99999999", "random=1&trace=1"), 60002),
        (("random=99999999", "random"), 60002),
        (("&contenttype=json", "&contenttype=json&"), 60002),
        ((GOOD, ""), 60002),
    ],
)
def test_a_query_that_is_wrong_in_one_place_is_refused(change: tuple[str, str], expected: int) -> None:
    assert refused(read_query(GOOD.replace(*change))) == expected


@pytest.mark.parametrize("number", ["0", "4294967295"])
def test_random_takes_the_whole_range(number: str) -> None:
    assert refused(read_query(GOOD.replace("99999999", number))) == 0


def test_a_lenient_sandbox_takes_unknown_names_and_misses_no_contenttype() -> None:
    query = GOOD.replace("&contenttype=json", "&trace=1")

    assert refused(read_query(query)) == 60002
    assert refused(read_query(query, strict=False)) == 0
    assert refused(read_query(GOOD.replace("=json", "=xml"), strict=False)) == 60002


def body(api: Api, text: str | bytes, *, strict: bool = True) -> str | Refusal:
    return BodyCheck(api, strict=strict).read(text if isinstance(text, bytes) else text.encode())


@pytest.mark.parametrize(
    ("api", "text", "content"),
    [
        (DELETE_CONVERSATION, '{"From_Account":"a","Type":1,"To_Account":"b"}', "a\t1\tb\t\t"),
        (DELETE_CONVERSATION, '{"ClearRamble":0,"ToGroupid":"@TGS#_c","Type":2,"From_Account":"a"}', "a\t2\t\t@TGS#_c\t0"),
        (DELETE_CONVERSATION_GROUP, '{"From_Account":"a","GroupName":["Größe, 組"]}', "a\tGröße, 組"),
        (CLEAR_GROUP_MESSAGES, '{"GroupId":"g 1"}', "g 1\t"),
        (CLEAR_GROUP_MESSAGES, '{"GroupId":"g","MsgSeq":9223372036854775807}', "g\t9223372036854775807"),
    ],
)
def test_a_good_body_becomes_the_calls_content(api: Api, text: str, content: str) -> None:
    """In the form in which the ledger keeps it, so that both can be compared."""
    assert body(api, text) == content


NO_OBJECTS = {
    "empty": b"",
    "list": b"[]",
    "string": b'"x"',
    "null": b"null",
    "cut": b"{",
    "two objects": b'{"GroupId":"g"}{}',
    "trailing comma": b'{"GroupId":"g",}',
    "comment": b'{"GroupId": "g" // comment\n}',
    "not UTF-8": b"\xff\xfe{}",
    "byte order mark": b'\xef\xbb\xbf{"GroupId":"g"}',
    "deep": b"[" * 100_000,
    "key twice": b'{"GroupId":"g","GroupId":"g"}',
    "NaN": b'{"GroupId":"g","MsgSeq":NaN}',
}


@pytest.mark.parametrize("text", NO_OBJECTS.values(), ids=NO_OBJECTS)
def test_a_body_that_is_no_json_object_is_60003(text: bytes) -> None:
    assert refused(body(CLEAR_GROUP_MESSAGES, text)) == 60003


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"From_Account": None}, 50002),
        ({"From_Account": ""}, 50002),
        ({"From_Account": 7}, 60015),
        ({"From_Account": "x" * 33}, 50002),
        ({"From_Account": "ü"}, 50002),
        ({"From_Account": "a\tb"}, 50002),
        ({"To_Account": ["b"]}, 60015),
        ({"To_Account": None}, 50002),
        ({"Type": None}, 50002),
        ({"Type": "1"}, 50002),
        ({"Type": 1.0}, 50002),
        ({"Type": True}, 50002),
        ({"Type": 3}, 50002),
        ({"Type": 2}, 50002),
        ({"ToGroupid": "g"}, 50002),
        ({"Type": 2, "To_Account": None}, 50002),
        ({"Type": 2, "To_Account": None, "ToGroupId": "g"}, 50002),
        ({"Type": 2, "To_Account": None, "ToGroupid": 7}, 50002),
        ({"Type": 2, "To_Account": None, "ToGroupid": "g" * 49}, 50002),
        ({"ClearRamble": 2}, 50002),
        ({"ClearRamble": False}, 50002),
        ({"from_account": "a"}, 50002),
        ({"Extra": 1}, 50002),
    ],
)
def test_a_deletion_with_one_bad_field_is_refused(changes: dict[str, object], expected: int) -> None:
    fields = {"From_Account": "a", "Type": 1, "To_Account": "b"} | changes
    text = json.dumps({name: value for name, value in fields.items() if value is not None})

    assert refused(body(DELETE_CONVERSATION, text)) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("group", 50002),
        ([], 50002),
        (["a", "b"], 50002),
        ([7], 50002),
        ([""], 50002),
        (["a\u0000b"], 50002),
        (["\ud800"], 50002),
        (["x" * 64], 0),
        (["x" * 65], 51011),
        (["ü" * 33], 51011),
    ],
)
def test_a_conversation_group_is_one_name_of_at_most_64_bytes(value: object, expected: int) -> None:
    assert refused(body(DELETE_CONVERSATION_GROUP, json.dumps({"From_Account": "a", "GroupName": value}))) == expected


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, 10004),
        ({"GroupId": ""}, 10015),
        ({"GroupId": "g" * 49}, 10015),
        ({"GroupId": "組"}, 10015),
        ({"GroupId": 1}, 10004),
        ({"GroupId": "@TGS#_community"}, 10004),
        ({"GroupId": "@TGS#group"}, 0),
        ({"GroupId": "g", "MsgSeq": 0}, 10004),
        ({"GroupId": "g", "MsgSeq": 2**63}, 10004),
        ({"GroupId": "g", "MsgSeq": "1"}, 10004),
        ({"GroupId": "g", "Msgseq": 1}, 10004),
    ],
)
def test_a_clear_with_a_bad_field_is_refused(fields: dict[str, object], expected: int) -> None:
    assert refused(body(CLEAR_GROUP_MESSAGES, json.dumps(fields))) == expected


def test_a_lenient_sandbox_takes_unknown_fields() -> None:
    assert body(CLEAR_GROUP_MESSAGES, '{"GroupId":"g","Extra":1}', strict=False) == "g\t"


def test_a_message_names_the_field_and_shows_no_control_character() -> None:
    found = body(CLEAR_GROUP_MESSAGES, '{"GroupId":"g","\\u001b[2J' + "x" * 90 + '":1}')

    assert isinstance(found, Refusal)
    assert "\\x1b[2Jx" in found.info
    assert "\x1b" not in found.info
    assert len(found.info) < 120


def test_an_api_that_documents_no_code_for_bad_fields_gets_a_public_one() -> None:
    """A new row in the catalog needs no line in the sandbox."""
    api = Api(
        op="kick",
        path="v4/im_open_login_svc/kick",
        rate=200,
        fields=(Field("Identifier", FieldKind.USER_ID, max_bytes=32),),
        codes={70107: Verdict.REFUSED},
        source="a test",
    )

    assert refused(body(api, "{}")) == 60002


@pytest.mark.parametrize("api", APIS, ids=lambda api: api.op)
def test_every_api_of_the_catalog_has_a_documented_code_for_bad_fields(api: Api) -> None:
    assert refused(body(api, "{}")) in api.codes
