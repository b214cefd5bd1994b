"""The APIs that bulkops can drive: one row each, every fact with its source.

Adding an API is adding a row here and its tests; no other module names one. An API's place in `APIS` is stored in ledgers:
append, never reorder.
"""

from __future__ import annotations

from typing import Final

from bulkops.model import Api, Field, FieldKind, Verdict

USER_ID_BYTES: Final = 32
"""Longest UserID. Source: error 7003 of the SDKs' code list."""

GROUP_ID_BYTES: Final = 48
"""Longest group id. Source: Group System, custom group ids."""

COMMUNITY_PREFIX: Final = "@TGS#_"
"""How the ids of Community groups begin. Source: Group System, custom group ids."""

_FROM_ACCOUNT = Field("From_Account", FieldKind.USER_ID, max_bytes=USER_ID_BYTES)

DELETE_CONVERSATION: Final = Api(
    op="delete_conversation",
    path="v4/recentcontact/delete",
    rate=200,
    fields=(
        _FROM_ACCOUNT,
        Field("Type", FieldKind.INTEGER, minimum=1, maximum=2),
        Field("To_Account", FieldKind.USER_ID, only_with=("Type", 1), max_bytes=USER_ID_BYTES),
        Field("ToGroupid", FieldKind.GROUP_ID, only_with=("Type", 2), max_bytes=GROUP_ID_BYTES),  # lower-case "id"
        Field(
            "ClearRamble",
            FieldKind.INTEGER,
            required=False,
            minimum=0,
            maximum=1,
            absent_warning="leave ClearRamble out: its default is not documented, so history may stay or go; say 0 or 1",
            absent_rank=1,
        ),
    ),
    codes={
        50001: Verdict.REFUSED,  # UserID not imported
        50002: Verdict.REFUSED,  # bad parameter
        50003: Verdict.FATAL,  # the identifier is no app admin
        50004: Verdict.TRANSIENT,  # internal server error, "please try again"
        50005: Verdict.TRANSIENT,  # network timeout, "try again later"
    },
    source="Deleting a Conversation (recentcontact/delete), pages of 2020 to 2024",
)

DELETE_CONVERSATION_GROUP: Final = Api(
    op="delete_conversation_group",
    path="v4/recentcontact/del_contact_group",
    rate=200,
    fields=(
        _FROM_ACCOUNT,
        Field("GroupName", FieldKind.NAME, max_bytes=64, as_list=True),  # "only one … can be deleted at a time"
    ),
    codes={
        50001: Verdict.REFUSED,
        50002: Verdict.REFUSED,
        50003: Verdict.FATAL,
        50004: Verdict.TRANSIENT,
        50005: Verdict.TRANSIENT,
        51007: Verdict.TRANSIENT,  # group id lookup failed
        51009: Verdict.ABSENT,  # no such conversation group: the aim is reached
        51011: Verdict.REFUSED,  # name longer than 64 bytes
        51013: Verdict.FATAL_API,  # the app's plan has no conversation groups
    },
    source="Deleting Conversation Group Data (recentcontact/del_contact_group), 2026",
)

CLEAR_GROUP_MESSAGES: Final = Api(
    op="clear_group_messages",
    path="v4/group_open_http_svc/clear_group_msg",
    rate=200,
    fields=(
        Field(
            "GroupId",
            FieldKind.GROUP_ID,
            max_bytes=GROUP_ID_BYTES,
            refused_prefixes=((COMMUNITY_PREFIX, "name Community groups, whose history the API does not clear"),),
        ),
        Field(
            "MsgSeq",
            FieldKind.INTEGER,
            required=False,
            minimum=1,
            maximum=2**63 - 1,
            absent_warning="clear a group's whole history: they have no MsgSeq",
        ),
    ),
    codes={
        10002: Verdict.TRANSIENT,  # internal server error, "please try again"
        10003: Verdict.FATAL_API,  # bad command word: the path is wrong
        10004: Verdict.REFUSED,  # bad parameter, or a group type that the API refuses
        10007: Verdict.FATAL_API_UNTIL_SUCCESS,  # no permission: no admin, or, once others worked, not for this group
        10010: Verdict.ABSENT,  # no such group, or dissolved: the aim is reached
        10015: Verdict.REFUSED,  # invalid group id
    },
    source="Clearing Historical Group Messages (group_open_http_svc/clear_group_msg), 2024-11-11",
)

APIS: Final[tuple[Api, ...]] = (DELETE_CONVERSATION, DELETE_CONVERSATION_GROUP, CLEAR_GROUP_MESSAGES)

BY_NAME: Final = {alias: api for api in APIS for alias in api.aliases}
"""Every accepted spelling of `op`."""
