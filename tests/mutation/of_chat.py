"""Mutations of calls, answers and credentials: what `chat` and the settings promise."""

from __future__ import annotations

from typing import Final

from tests.mutation.mutant import Edit, Mutation, mutation

_CLIENT: Final = "bulkops/chat/client.py"
_WIRE: Final = "bulkops/chat/wire.py"
_USERSIG: Final = "bulkops/chat/usersig.py"
_VERDICTS: Final = "bulkops/chat/verdicts.py"
_FAILURES: Final = "bulkops/chat/failures.py"
_REDACTION: Final = "bulkops/chat/redaction.py"
_SETTINGS: Final = "bulkops/settings.py"

_FAULTS: Final = "tests/integration/test_chat_client_faults.py"
_WIRE_TESTS: Final = "tests/unit/test_chat_wire.py"
_SECRETS: Final = "tests/integration/test_chat_client_secrets.py"
_PROMISES: Final = "tests/integration/test_promises.py"

MUTATIONS: Final = (
    Mutation(
        "take the token before the connection",
        "a token never waits for DNS, TCP or TLS",
        (
            Edit(
                _CLIENT,
                "        try:\n            connection = await self._connector.connect(",
                "        try:\n            await gate(lambda: True)\n            connection = await self._connector.connect(",
            ),
            Edit(_CLIENT, "                await gate(partial(_stands, protocol))\n", "                pass\n"),
        ),
        ("tests/integration/test_chat_client.py::test_the_first_byte_leaves_in_the_turn_in_which_the_gate_lets_pass",),
    ),
    mutation(
        "wait between the token and the first byte",
        "the first byte leaves in the turn in which the gate lets pass",
        _CLIENT,
        "            request = self._request(api, body)\n",
        "            request = self._request(api, body)\n            await asyncio.sleep(0.01)\n",
        "tests/integration/test_chat_client.py::test_the_first_byte_leaves_in_the_turn_in_which_the_gate_lets_pass",
    ),
    mutation(
        "follow redirects",
        "no call goes to a host that nobody named",
        _CLIENT,
        "            http = message.code\n            wait =",
        "            http = message.code\n            if 300 <= http < 400:\n"
        '                async with aiohttp.request("POST", message.headers["Location"]) as again:\n'
        "                    return answered(again.status, await again.read(), hide=self._hide)\n            wait =",
        f"{_FAULTS}::test_a_redirect_is_not_followed",
    ),
    mutation(
        "believe an ErrorCode that is a float or a bool",
        "only an integer is an ErrorCode: neither false nor 0.0 is a success",
        _WIRE,
        "    if type(code) is not int or code not in _CODES:",
        "    if not isinstance(code, int | float):",
        f"{_WIRE_TESTS}::test_anything_else_is_no_answer",
    ),
    mutation(
        "want a content type of JSON",
        "an answer is told by its bytes, not by what its headers say",
        _CLIENT,
        "        connection.release()\n        return answered(",
        '        if "json" not in message.headers.get("Content-Type", ""):\n'
        '            return no_answer(http, "no JSON")\n        connection.release()\n        return answered(',
        f"{_FAULTS}::test_a_whole_answer_is_one_however_it_is_framed",
    ),
    mutation(
        "an empty 200 is a success",
        "only a readable ErrorCode 0 is a success",
        _WIRE,
        "    envelope = _read(body)\n",
        "    envelope = _read(body) if body else _Envelope(0, False, None)\n",
        f"{_WIRE_TESTS}::test_anything_else_is_no_answer",
    ),
    mutation(
        "the last of two ErrorCodes counts",
        "an answer that says two things says nothing",
        _WIRE,
        "                raise _AmbiguousError\n",
        "                pass\n",
        f"{_WIRE_TESTS}::test_anything_else_is_no_answer",
    ),
    mutation(
        "ErrorCode 0 with HTTP 500 is a success",
        "a zero that disagrees with its status is in doubt",
        _WIRE,
        "        if not 200 <= http < 300:\n",
        "        if False:\n",
        f"{_WIRE_TESTS}::test_a_zero_under_a_bad_status_is_in_doubt",
    ),
    mutation(
        "ErrorCode 0 with FAIL is a success",
        "a zero that disagrees with ActionStatus is in doubt",
        _WIRE,
        "        if envelope.failed:\n",
        "        if False:\n",
        f"{_WIRE_TESTS}::test_a_zero_with_fail_is_in_doubt",
    ),
    mutation(
        "no end to an answer",
        "an answer of more than 64 KiB is not read into memory",
        _CLIENT,
        "            if len(body) > MAX_ANSWER:\n                return None\n            self._deadlines",
        "            self._deadlines",
        f"{_FAULTS}::test_an_endless_answer_is_cut_off",
    ),
    mutation(
        "decompress answers",
        "a gzip bomb costs no memory",
        _CLIENT,
        "auto_decompress=False",
        "auto_decompress=True",
        f"{_FAULTS}::test_nothing_is_ever_decompressed",
    ),
    mutation(
        "a lost answer counts as not sent",
        "a call that left and was not answered is in doubt",
        _FAILURES,
        '    return Reply(Outcome.UNANSWERED, http, None, "lost",',
        '    return Reply(Outcome.NOT_SENT, http, None, "lost",',
        "tests/unit/test_chat_failures.py::test_what_left_and_got_lost_is_unanswered",
    ),
    mutation(
        "a timeout counts as not sent",
        "a call that left and was given up is in doubt",
        _FAILURES,
        '    return Reply(Outcome.UNANSWERED, http, None, "timeout", words)',
        '    return Reply(Outcome.NOT_SENT, http, None, "timeout", words)',
        f"{_FAULTS}::test_a_drip_ends_with_the_total",
    ),
    mutation(
        "a refusal is repeated",
        "a code that no table knows is kept with its text, never repeated blindly",
        _VERDICTS,
        "PUBLIC_CODES.get(code, Verdict.REFUSED)",
        "PUBLIC_CODES.get(code, Verdict.TRANSIENT)",
        "tests/unit/test_chat_verdicts.py::test_an_unknown_code_is_refused",
    ),
    mutation(
        "an internal error is a refusal",
        "what the vendor says to try again is tried again",
        _VERDICTS,
        "    Verdict.TRANSIENT,\n)\n_THROTTLED",
        "    Verdict.REFUSED,\n)\n_THROTTLED",
        "tests/unit/test_chat_verdicts.py::test_a_code_means_what_the_contract_says",
    ),
    mutation(
        "certificates are not verified",
        "a wrong certificate stops the run",
        _CLIENT,
        '    context.set_alpn_protocols(("http/1.1",))\n',
        "    context.check_hostname = False\n    context.verify_mode = ssl.CERT_NONE\n",
        "tests/integration/test_chat_client_tls.py",
    ),
    mutation(
        "plain http to any host",
        "a UserSig never crosses a network in plain text",
        _SETTINGS,
        '    if parts.scheme == "http" and not is_loopback(parts.hostname):\n',
        "    if False:\n",
        f"{_PROMISES}::test_plain_http_goes_to_loopback_only",
    ),
    mutation(
        "the key shows in repr",
        "no secret is in any message, exception or log",
        _SETTINGS,
        '        return "Secret(…)"\n',
        "        return self._text\n",
        f"{_PROMISES}::test_settings_never_show_the_key",
    ),
    mutation(
        "what a server echoes is not searched for secrets",
        "no secret is stored or shown, even where a server sends it back",
        _REDACTION,
        "        for traces in (self._key, *self._credentials):\n            text = traces.hide(text)\n",
        "",
        "tests/unit/test_chat_redaction.py",
    ),
    mutation(
        "renewed UserSigs are not known to the redaction",
        "the same holds for every UserSig that was renewed",
        _CLIENT,
        "            self._hide.add(usersig)\n",
        "            pass\n",
        f"{_SECRETS}::test_no_fault_of_a_server_shows_a_secret",
    ),
    mutation(
        "a UserSig is never renewed by itself",
        "a UserSig is renewed before it expires, however long the run",
        _USERSIG,
        "        if stale or elapsed >= self._life / 2 or abs(drift) > self._life / 4:\n",
        "        if stale:\n",
        "tests/unit/test_chat_usersig.py",
    ),
    mutation(
        "a UserSig for half a year",
        "a UserSig that leaks is soon worth nothing",
        _USERSIG,
        "sign(self._identifier, self._life)",
        "sign(self._identifier, 180 * 86400)",
        "tests/unit/test_chat_usersig.py::test_a_usersig_verifies",
    ),
    mutation(
        "one random number for all calls",
        "`random` is a fresh number for every call",
        _CLIENT,
        "self._random_bits(32)",
        "7",
        "tests/integration/test_chat_client.py::test_every_call_has_a_random_number_of_its_own",
    ),
)
