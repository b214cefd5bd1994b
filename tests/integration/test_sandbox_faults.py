"""Every fault as a raw caller sees it, and whether the effect happened."""

from __future__ import annotations

import asyncio
import json
import time

import aiohttp
import pytest

from bulkops.sandbox import Sandbox
from bulkops.sandbox.spoil import NOT_HTTP
from tests.helpers.sandbox import CLEAR, ONE_TO_ONE, YES, Caller, Seen, call, query, until

OP = "delete_conversation"


async def ordered(spec: str) -> tuple[Seen, int, dict[str, int]]:
    """What one call sees under a fault; its effects; how it was counted."""
    async with Sandbox(faults=[spec]) as sandbox:
        seen = await call(sandbox.url)
        stats = sandbox.stats().apis[OP]
        return seen, stats.effects, dict(stats.codes)


async def test_a_code_is_a_whole_answer_without_effect() -> None:
    seen, effects, codes = await ordered("50004")

    assert (seen.status, seen.code, seen.ended) == (200, 50004, "complete")
    assert (effects, codes) == (0, {"50004": 1})


async def test_a_code_after_the_effect_looks_the_same() -> None:
    seen, effects, codes = await ordered("60008:after")

    assert (seen.status, seen.code) == (200, 60008)
    assert (effects, codes) == (1, {"60008": 1})


async def test_an_http_status_comes_with_a_page() -> None:
    seen, effects, codes = await ordered("http502")

    assert (seen.status, seen.headers["content-type"], seen.ended) == (502, "text/html", "complete")
    assert seen.raw.startswith(b"HTTP/1.1 502 Bad Gateway\r\n")
    assert (effects, codes) == (0, {"http_502": 1})


async def test_an_http_status_comes_without_a_body_where_that_is_ordered() -> None:
    seen, effects, _ = await ordered("http503:empty")

    assert (seen.status, seen.body, seen.ended, effects) == (503, b"", "complete", 0)


async def test_an_http_status_comes_with_a_code_where_that_is_ordered() -> None:
    seen, effects, codes = await ordered("http500:50005")

    assert (seen.status, seen.code, effects, codes) == (500, 50005, 0, {"50005": 1})


async def test_a_status_that_http_does_not_know_is_sent_all_the_same() -> None:
    seen, _, _ = await ordered("http599")

    assert seen.raw.startswith(b"HTTP/1.1 599 Unknown\r\n")


@pytest.mark.parametrize("code", [60007, 60018, 60011])
async def test_throttling_by_code_may_say_when_to_come_back(code: int) -> None:
    seen, effects, _ = await ordered(f"throttle:{code}:3s")

    assert (seen.status, seen.code, seen.headers["retry-after"], effects) == (200, code, "3", 0)


async def test_throttling_by_429_has_no_code() -> None:
    seen, effects, codes = await ordered("throttle:429:2s")

    assert (seen.status, seen.headers["retry-after"], seen.headers["content-type"]) == (429, "2", "text/html")
    assert (effects, codes) == (0, {"http_429": 1})


async def test_a_reset_before_the_effect_breaks_the_connection() -> None:
    seen, effects, codes = await ordered("reset-before")

    assert (seen.raw, seen.ended) == (b"", "reset")
    assert (effects, codes) == (0, {"reset-before": 1})


async def test_a_reset_after_the_effect_looks_the_same_and_is_not() -> None:
    seen, effects, codes = await ordered("reset-after")

    assert (seen.raw, seen.ended) == (b"", "reset")
    assert (effects, codes) == (1, {"reset-after": 1})


async def test_a_cut_answer_ends_in_the_middle_of_its_body() -> None:
    seen, effects, codes = await ordered("cut")

    whole = json.dumps(YES, separators=(",", ":")).encode()
    assert (seen.status, seen.ended) == (200, "closed")
    assert seen.body == whole[: len(whole) // 2]
    assert seen.headers["content-length"] == str(len(whole))
    assert (effects, codes) == (1, {"cut": 1})


async def test_a_stalled_answer_is_silence_and_then_the_end() -> None:
    begin = time.monotonic()
    seen, effects, codes = await ordered("stall:100ms")

    assert (seen.raw, seen.ended) == (b"", "closed")
    assert time.monotonic() - begin >= 0.1
    assert (effects, codes) == (1, {"stall": 1})


async def test_a_stalled_connection_stays_open_meanwhile() -> None:
    async with Sandbox(faults=["stall:60s"]) as sandbox, Caller(sandbox.url) as caller:
        await caller.send()
        seen = await caller.read(wait=0.05)

        assert (seen.raw, seen.ended) == (b"", "open")
        assert sandbox.stats().effects == 1


async def test_a_slow_answer_is_whole_and_late() -> None:
    begin = time.monotonic()
    seen, effects, codes = await ordered("slow:100ms")

    assert (seen.json, seen.ended) == (YES, "complete")
    assert time.monotonic() - begin >= 0.1
    assert (effects, codes) == (1, {"0": 1})


async def test_errors_are_slow_as_well() -> None:
    async with Sandbox(faults=["50004", "slow:60ms"]) as sandbox:
        begin = time.monotonic()
        assert (await call(sandbox.url)).code == 50004

    assert time.monotonic() - begin >= 0.06


async def test_a_dripping_answer_comes_byte_by_byte() -> None:
    async with Sandbox(faults=["drip:1ms"]) as sandbox, Caller(sandbox.url) as caller:
        await caller.send()
        chunks: list[bytes] = []
        while not b"".join(chunks).endswith(b"}"):
            chunks.append(await caller.reader.read(65536))

        assert len(chunks) > 20
        assert json.loads(b"".join(chunks).partition(b"\r\n\r\n")[2]) == YES
        assert sandbox.stats().apis[OP].codes == {"drip": 1}
        assert (await caller.call(CLEAR, b'{"GroupId":"g"}')).code == 0  # the connection is good for another


async def test_a_dripping_answer_ends_when_nobody_reads_it() -> None:
    async with Sandbox(faults=["drip:5ms"]) as sandbox:
        async with Caller(sandbox.url) as caller:
            await caller.send()
            await caller.reader.readexactly(1)
        await until(lambda: not sandbox.stats().open_connections)


async def test_garbage_in_the_body_is_a_good_head_and_no_json() -> None:
    seen, effects, codes = await ordered("garbage")

    assert (seen.status, seen.headers["content-type"], seen.ended) == (200, "application/json", "complete")
    with pytest.raises(ValueError, match="utf-8"):
        _ = seen.json
    assert (effects, codes) == (1, {"garbage": 1})


async def test_garbage_in_the_head_is_no_http_at_all() -> None:
    seen, effects, _ = await ordered("garbage:head")

    assert (seen.raw, seen.ended, effects) == (NOT_HTTP, "closed", 1)


async def test_an_empty_answer_is_http_200_with_nothing_in_it() -> None:
    seen, effects, _ = await ordered("empty")

    assert (seen.status, seen.headers["content-length"], seen.body, effects) == (200, "0", b"", 1)


async def test_a_huge_answer_is_true_and_longer_than_64_kib() -> None:
    seen, effects, _ = await ordered("huge")

    assert (len(seen.body), seen.json, effects) == (2**20, YES, 1)


async def test_a_gzip_bomb_is_sent_although_nobody_asked_for_gzip() -> None:
    seen, effects, _ = await ordered("gzip-bomb:4")

    assert seen.headers["content-encoding"] == "gzip"
    assert len(seen.body) < 16384
    assert effects == 1


async def test_a_wrong_type_is_an_answer_whose_code_is_text() -> None:
    seen, effects, _ = await ordered("wrong-type")

    assert (seen.status, seen.code, effects) == (200, "0", 1)


async def test_an_answer_that_disagrees_says_0_and_500() -> None:
    seen, effects, codes = await ordered("disagree")

    assert (seen.status, seen.code, effects, codes) == (500, 0, 1, {"disagree": 1})


async def test_an_answer_that_disagrees_in_words_says_0_and_fail() -> None:
    seen, effects, _ = await ordered("disagree:fail")

    assert (seen.status, seen.json, effects) == (200, YES | {"ActionStatus": "FAIL"}, 1)


async def test_a_wrong_content_type_holds_a_true_answer() -> None:
    seen, effects, _ = await ordered("content-type")

    assert (seen.headers["content-type"], seen.json, effects) == ("text/html", YES, 1)


@pytest.mark.parametrize("status", [302, 307])
async def test_a_redirect_leads_to_a_second_port_that_counts_who_follows(status: int) -> None:
    """The bait says yes: who follows it and believes it is wrong twice."""
    async with Sandbox(faults=[f"redirect:{status}"]) as sandbox:
        raw = await call(sandbox.url)
        assert raw.status == status
        assert raw.headers["location"].split("/v4")[0] != sandbox.url
        assert sandbox.stats().redirected == 0

        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{sandbox.url}/v4/recentcontact/delete?{query()}", data=ONE_TO_ONE) as response,
        ):
            assert (await response.json())["ErrorCode"] == 0

        stats = sandbox.stats()
        assert (stats.redirected, stats.effects) == (1, 0)


async def test_a_redirect_may_lead_elsewhere_on_this_machine() -> None:
    seen, effects, codes = await ordered("redirect:308:http://127.0.0.1:9/x")

    assert (seen.status, seen.headers["location"], effects, codes) == (308, "http://127.0.0.1:9/x", 0, {"http_308": 1})


async def test_close_after_answers_and_closes_without_a_word() -> None:
    """The answer's head promises to keep the connection: that is the race that a client has to survive."""
    async with Sandbox(faults=["close-after"]) as sandbox, Caller(sandbox.url) as caller:
        seen = await caller.call()

        assert seen.json == YES
        assert "connection" not in seen.headers
        assert await caller.closed()
        assert sandbox.stats().apis[OP].codes == {"0": 1}


async def test_an_idle_connection_is_closed_after_a_while_and_not_before() -> None:
    async with Sandbox(faults=["idle-close:100ms"]) as sandbox, Caller(sandbox.url) as caller:
        for _ in range(3):
            assert (await caller.call()).json == YES
            await asyncio.sleep(0.02)
        begin = time.monotonic()
        assert await caller.closed()

    assert 0.05 <= time.monotonic() - begin <= 2.0


async def test_poison_falls_on_its_target_every_time_and_on_nobody_else() -> None:
    async with Sandbox(faults=["poison:user1=50004"]) as sandbox, Caller(sandbox.url) as caller:
        codes = [
            (await caller.call(body=body)).code for body in (ONE_TO_ONE, ONE_TO_ONE.replace(b"user1", b"user3"), ONE_TO_ONE)
        ]

    assert codes == [50004, 0, 50004]


async def test_a_capacity_rejects_what_is_above_it() -> None:
    async with Sandbox(faults=["capacity=3:50005"]) as sandbox, Caller(sandbox.url) as caller:
        codes = [(await caller.call()).code for _ in range(5)]
        stats = sandbox.stats().apis[OP]

    assert codes == [0, 0, 0, 50005, 50005]
    assert (stats.rejected, stats.effects) == (0, 3)  # the published limit was not reached


async def test_a_fault_for_one_api_spares_the_others() -> None:
    async with Sandbox(faults=["clear_group_messages:50004"]) as sandbox:
        assert (await call(sandbox.url)).code == 0
        assert (await call(sandbox.url, CLEAR, b'{"GroupId":"g"}')).code == 50004


async def test_an_unreadable_fault_is_refused_and_the_others_stay() -> None:
    async with Sandbox(faults=["50004"]) as sandbox:
        with pytest.raises(ValueError, match="can't be ordered"):
            sandbox.add_fault("nonsense")
        assert [fault.spec for fault in sandbox.faults] == ["50004"]

    with pytest.raises(ValueError, match="can't be ordered"):
        Sandbox(faults=["nonsense"])


async def test_faults_may_be_ordered_before_it_starts() -> None:
    sandbox = Sandbox()
    sandbox.add_fault("50004")

    async with sandbox:
        assert (await call(sandbox.url)).code == 50004


# outages and freezes


async def test_an_outage_with_a_status_has_no_effect_and_ends_with_its_window() -> None:
    async with Sandbox(faults=["outage=503@-0.1"]) as sandbox, Caller(sandbox.url) as caller:
        first = await caller.call()
        await asyncio.sleep(0.11)
        later = await caller.call()

    assert (first.status, later.code) == (503, 0)


async def test_an_outage_with_a_code_answers_even_what_is_wrong() -> None:
    async with Sandbox(faults=["outage=50004"]) as sandbox:
        assert (await call(sandbox.url, q=query(usersig="junk"))).code == 50004
        assert sandbox.stats().effects == 0


async def test_an_outage_of_resets_breaks_every_call() -> None:
    seen, effects, codes = await ordered("outage=reset")

    assert (seen.ended, effects, codes) == ("reset", 0, {"reset-before": 1})


async def test_a_hang_is_silence_until_its_end_and_then_a_reset() -> None:
    begin = time.monotonic()
    seen, effects, codes = await ordered("outage=hang@-0.1")

    assert (seen.raw, seen.ended) == (b"", "reset")
    assert time.monotonic() - begin >= 0.1
    assert (effects, codes) == (0, {"hang": 1})


async def test_a_hang_without_end_ends_when_the_faults_are_cleared() -> None:
    async with Sandbox(faults=["outage=hang"]) as sandbox, Caller(sandbox.url) as caller:
        await caller.send()
        assert (await caller.read(wait=0.05)).ended == "open"
        sandbox.add_fault("slow:1ms")
        assert (await caller.read(wait=0.05)).ended == "open"

        sandbox.clear_faults()

        assert (await caller.read()).ended == "reset"
        assert (await call(sandbox.url)).code == 0


async def refused(url: str) -> bool:
    try:
        async with Caller(url):
            return False
    except ConnectionRefusedError:
        return True


async def test_a_refusal_closes_the_port_and_breaks_what_is_open() -> None:
    async with Sandbox() as sandbox, Caller(sandbox.url) as caller:
        assert (await caller.call()).code == 0

        sandbox.add_fault("outage=refuse")

        assert await caller.closed()
        assert await refused(sandbox.url)

        sandbox.clear_faults()
        await asyncio.sleep(0)
        assert (await call(sandbox.url)).code == 0  # the same port


async def test_a_refusal_begins_and_ends_with_its_window() -> None:
    """Counted from the first call, which is answered."""
    async with Sandbox(faults=["outage=refuse@0.05-0.15"]) as sandbox:
        assert not await refused(sandbox.url)
        assert (await call(sandbox.url)).code == 0
        await asyncio.sleep(0.08)
        assert await refused(sandbox.url)
        await asyncio.sleep(0.1)
        assert (await call(sandbox.url)).code == 0


async def test_a_refusal_can_begin_with_the_server() -> None:
    async with Sandbox(faults=["outage=refuse@start:0-0.06"]) as sandbox:
        assert await refused(sandbox.url)
        await asyncio.sleep(0.1)
        assert (await call(sandbox.url)).code == 0


async def test_the_port_ends_up_as_the_last_order_wants_it() -> None:
    """Orders that follow each other without a pause."""
    async with Sandbox() as sandbox:
        for _ in range(3):
            sandbox.add_fault("outage=refuse")
            sandbox.clear_faults()
            sandbox.add_fault("outage=refuse")
        await asyncio.sleep(0.01)
        assert await refused(sandbox.url)

        sandbox.clear_faults()
        await asyncio.sleep(0.01)
        assert not await refused(sandbox.url)


@pytest.mark.parametrize("turns", range(4))
async def test_it_stops_while_the_port_is_being_opened_again(turns: int) -> None:
    """However many turns of the loop that has had."""
    sandbox = Sandbox(faults=["outage=refuse"])
    url = await sandbox.start()
    sandbox.clear_faults()
    for _ in range(turns):
        await asyncio.sleep(0)

    await sandbox.stop()

    assert await refused(url)


async def test_a_call_under_way_when_the_port_closes_is_broken() -> None:
    async with Sandbox(faults=["freeze:50ms"]) as sandbox, Caller(sandbox.url) as caller:
        await caller.send()
        await until(lambda: sandbox.stats().calls)
        sandbox.add_fault("outage=refuse")

        assert (await caller.read()).ended == "reset"
        await asyncio.sleep(0.06)
        assert sandbox.stats().apis[OP].codes == {"refuse": 1}
        assert sandbox.stats().effects == 0


async def test_it_stops_while_it_refuses() -> None:
    sandbox = Sandbox(faults=["outage=refuse"])
    url = await sandbox.start()
    await sandbox.stop()

    assert await refused(url)


async def test_a_freeze_holds_every_call_and_then_answers_it() -> None:
    """Calls count when they come, so that a burst of answers is no burst of calls."""
    async with Sandbox(faults=["freeze:150ms@0s"]) as sandbox:
        begin = time.monotonic()
        tasks = [asyncio.ensure_future(call(sandbox.url)) for _ in range(3)]
        await asyncio.sleep(0.06)
        assert sandbox.stats().calls == 3
        assert sandbox.stats().effects == 0
        seen = await asyncio.gather(*tasks)

        assert [each.code for each in seen] == [0, 0, 0]
        assert time.monotonic() - begin >= 0.15
        assert max(sandbox.departures(OP)) - begin < 0.1
