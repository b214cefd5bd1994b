"""The catalog says of each API what the vendor's pages say."""

from __future__ import annotations

import pytest

from bulkops.chat.catalog import APIS, BY_NAME, CLEAR_GROUP_MESSAGES, DELETE_CONVERSATION, DELETE_CONVERSATION_GROUP
from bulkops.model import Api, FieldKind, Verdict

# Source: contract, section 1, and the "Error Codes" tables of the vendor's three pages.
CONTRACT = [
    (
        DELETE_CONVERSATION,
        "delete_conversation",
        "recentcontact/delete",
        ["From_Account", "Type", "To_Account", "ToGroupid", "ClearRamble"],
        {50001, 50002, 50003, 50004, 50005},
    ),
    (
        DELETE_CONVERSATION_GROUP,
        "delete_conversation_group",
        "recentcontact/del_contact_group",
        ["From_Account", "GroupName"],
        {50001, 50002, 50003, 50004, 50005, 51007, 51009, 51011, 51013},
    ),
    (
        CLEAR_GROUP_MESSAGES,
        "clear_group_messages",
        "group_open_http_svc/clear_group_msg",
        ["GroupId", "MsgSeq"],
        {10002, 10003, 10004, 10007, 10010, 10015},
    ),
]


@pytest.mark.parametrize(("api", "op", "path", "fields", "codes"), CONTRACT, ids=[row[1] for row in CONTRACT])
def test_an_api_is_what_its_page_says(api: Api, op: str, path: str, fields: list[str], codes: set[int]) -> None:
    """Name, path, published limit, the vendor's spelling of the fields in their order, and the page's own codes."""
    assert api.op == op
    assert api.path == f"v4/{path}"
    assert api.rate == 200
    assert [field.name for field in api.fields] == fields
    assert set(api.codes) == codes
    assert api.source


def test_the_order_of_the_apis_is_what_ledgers_have_stored() -> None:
    """An API's place is stored: new ones come after these three."""
    assert APIS[:3] == (DELETE_CONVERSATION, DELETE_CONVERSATION_GROUP, CLEAR_GROUP_MESSAGES)


def test_an_op_is_found_by_its_name_and_by_its_path() -> None:
    """Both accepted spellings lead to the API, and nothing else does."""
    assert {alias: row[0] for row in CONTRACT for alias in (row[1], row[2])} == BY_NAME


def test_a_peer_belongs_to_type_1_and_a_group_to_type_2() -> None:
    """To_Account and ToGroupid are present exactly with their Type."""
    fields = {field.name: field for field in DELETE_CONVERSATION.fields}
    assert fields["To_Account"].only_with == ("Type", 1)
    assert fields["ToGroupid"].only_with == ("Type", 2)
    assert (fields["Type"].minimum, fields["Type"].maximum) == (1, 2)
    assert (fields["ClearRamble"].minimum, fields["ClearRamble"].maximum) == (0, 1)
    assert not fields["ClearRamble"].required


def test_a_conversation_group_is_sent_as_a_list_of_one_name() -> None:
    """At most 64 bytes of any text, in a list."""
    field = DELETE_CONVERSATION_GROUP.fields[1]
    assert (field.kind, field.max_bytes, field.as_list) == (FieldKind.NAME, 64, True)


def test_a_message_number_is_positive_and_fits_64_bits() -> None:
    """MsgSeq is optional, 1 to 2⁶³ − 1."""
    field = CLEAR_GROUP_MESSAGES.fields[1]
    assert (field.required, field.minimum, field.maximum) == (False, 1, 9223372036854775807)


@pytest.mark.parametrize("api", APIS, ids=lambda api: api.op)
def test_every_text_field_has_a_limit_and_every_optional_one_a_warning(api: Api) -> None:
    """No id is sent unchecked, and leaving out what destroys more is pointed out."""
    for field in api.fields:
        limit = {FieldKind.USER_ID: 32, FieldKind.GROUP_ID: 48, FieldKind.NAME: 64, FieldKind.INTEGER: 0}[field.kind]
        assert field.max_bytes == limit
        assert field.required or field.absent_warning


@pytest.mark.parametrize("api", APIS, ids=lambda api: api.op)
def test_no_api_calls_a_code_a_success(api: Api) -> None:
    """Only ErrorCode 0 is one."""
    assert Verdict.SUCCEEDED not in api.codes.values()
