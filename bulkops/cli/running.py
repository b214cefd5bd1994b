"""How a run is carried out for somebody at a terminal: the plan, the question, the canary, progress, signals, the answer."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Protocol

from bulkops.chat.catalog import APIS
from bulkops.cli.progress import Following, make_view
from bulkops.cli.session import Session
from bulkops.errors import ConfigError
from bulkops.model import Figures, Status, Stop, StopKind
from bulkops.report.plan import Planned, Target, plan_lines, to_do
from bulkops.report.status import failure_hints, status_lines, summary_lines
from bulkops.report.summary import EXIT_USAGE, Summary, summarize
from bulkops.watching import Notice, Snapshot

_DRAINING: Final = "finishing what is in flight, at most 10 s; once more to stop at once"


class Run(Protocol):
    """What is needed of `app.Run`."""

    @property
    def plan(self) -> Planned: ...
    @property
    def confirmed(self) -> bool: ...
    def confirm(self) -> None: ...
    async def canary(self) -> Summary | None: ...
    async def finish(self) -> Summary: ...
    def stop(self, stop: Stop, *, now: bool = False) -> None: ...
    def snapshot(self) -> Snapshot: ...
    def events(self) -> AsyncIterator[Notice]: ...


@dataclass(frozen=True, slots=True)
class Reopening:
    """What a retry reopens.

    Args:
        statuses: Operations that ended so; `None` for those that a retry reopens by itself.
        codes: Only those whose newest ErrorCode is one of these; empty for any.
    """

    statuses: frozenset[Status] | None
    codes: frozenset[int]

    def counts(self, ledger: Path, figures: Figures) -> dict[str, int]:
        """How many operations that is, by op."""
        from bulkops import app

        usual = frozenset({Status.EXHAUSTED, Status.IN_DOUBT})
        statuses = self.statuses or (usual | {Status.FAILED} if self.codes else usual)
        if not self.codes:
            return {op: sum(api.by_status.get(status, 0) for status in statuses) for op, api in figures.apis.items()}
        words = frozenset(status.word for status in statuses)
        rows = app.results(ledger, statuses=words, codes=frozenset(map(str, self.codes)))
        return dict(Counter(APIS[row.api].op for row in rows))


@dataclass(frozen=True, slots=True)
class Conduct:
    """How a run is to be carried out, as far as only the command line cares.

    Args:
        target: Where the calls go, for the plan.
        mode: Progress: `live`, `plain` or `none`.
        yes: Don't ask.
        ask_again: Ask although somebody said yes to this ledger before.
        dry: Show the plan and send nothing.
        reopening: For a retry, what it reopens.
        loop: The event loop: `asyncio` or `uvloop`.
    """

    target: Target
    mode: str
    yes: bool
    ask_again: bool = True
    dry: bool = False
    reopening: Reopening | None = None
    loop: str = "asyncio"


def carry_out(session: Session, opening: AbstractAsyncContextManager[Run], conduct: Conduct) -> int:
    """Carry out a run that `opening` opens; the exit code."""
    with asyncio.Runner(loop_factory=_loop_factory(conduct.loop)) as runner:
        return runner.run(_carry_out(session, opening, conduct))


def _loop_factory(name: str) -> Callable[[], asyncio.AbstractEventLoop] | None:
    """What makes the event loop; `None` for asyncio's own."""
    if name == "asyncio":
        return None
    try:
        import uvloop
    except ImportError:
        raise ConfigError("--loop uvloop: it is not installed; pip install 'bulkops[uvloop]'") from None
    return uvloop.new_event_loop


async def _carry_out(session: Session, opening: AbstractAsyncContextManager[Run], conduct: Conduct) -> int:
    async with opening as run:
        session.ledger, session.opened = run.plan.ledger, not run.plan.continues
        if conduct.reopening is not None:
            reopened = conduct.reopening.counts(Path(run.plan.ledger), run.plan.figures)
            conduct = replace(conduct, target=replace(conduct.target, reopened=reopened))
        if conduct.dry:
            return answer_plan(session, run.plan, conduct.target, errors=[])
        session.output.say_all(plan_lines(run.plan, conduct.target))
        if not agreed(session, run, conduct):
            run.stop(Stop(StopKind.DECLINED, "nobody said yes"))
            return conclude(session, await run.finish())
        run.confirm()
        session.opened = True
        following = Following(run, make_view(conduct.mode, session.output, sandbox=run.plan.sandbox))
        following.hush("note")  # the plan has them
        following.start()
        try:
            summary = await _finished(session, run, following)
        finally:
            await following.stop()
    return conclude(session, summary)


async def _finished(session: Session, run: Run, following: Following) -> Summary:
    def stop(name: str, now: bool) -> None:
        if not now:
            following.hush("stopping")  # said here, with what a second signal does
            session.output.say(f"{name}: {_DRAINING}")
        run.stop(Stop(StopKind.SIGNAL, f"{name} received"), now=now)

    with session.signals.draining(stop):
        canary = await run.canary()
    if canary is not None:
        following.pause()
        if canary_agreed(session, canary):
            following.start()
        else:
            run.stop(Stop(StopKind.CANARY, "after the canary"))
    with session.signals.draining(stop):
        return await run.finish()


def agreed(session: Session, run: Run, conduct: Conduct) -> bool:
    """Whether somebody wants this run, as the plan on the screen says it.

    Raises:
        ConfigError: Somebody has to be asked, and there is no terminal.
    """
    if conduct.yes or not to_do(run.plan, conduct.target) or (run.confirmed and not conduct.ask_again):
        return True
    if not session.interactive:
        raise ConfigError("nobody has said yes to this run yet and there is no terminal to ask on: give --yes")
    typed = session.ask(f"Type the SDKAppID ({conduct.target.sdkappid}) to carry this out: ")
    return typed == str(conduct.target.sdkappid)


def canary_agreed(session: Session, canary: Summary) -> bool:
    """Whether somebody wants the rest after having seen the canary. `--yes` does not answer that; no terminal is a no."""
    session.output.say_all(["", "The canary has ended:", *summary_lines(canary)])
    if not session.interactive:
        session.output.say("there is no terminal to ask on; a resume carries out the rest")
        return False
    typed = session.ask("Carry out the rest? [y/N] ")
    return typed is not None and typed.lower() in {"y", "yes"}


def conclude(session: Session, summary: Summary) -> int:
    """Give the answer, say what may be done next, and return the exit code. The command that continues comes last."""
    try:
        if session.json:
            session.output.answer_json(summary.as_json())
        else:
            session.output.answer(status_lines(summary, follow_up=False))
    except ConfigError as error:  # the run is over and its outcome stands, whoever can't read the answer
        session.output.say(f"bulkops {session.command}: {error}")
    if summary.unfinished:
        if summary.reason and (session.json or not session.answers_on_screen):
            session.output.say(f"stopped: {summary.reason}")
        session.output.say_all([*failure_hints(summary), session.continuation()])
    elif hints := failure_hints(summary):
        session.output.say_all(hints)
    return summary.exit or 0


def answer_plan(session: Session, plan: Planned, target: Target, *, errors: list[dict[str, object]]) -> int:
    """Give a plan as the answer; the exit code."""
    code = EXIT_USAGE if errors else 0
    if not session.json:
        session.output.answer(plan_lines(plan, target))
        for error in errors if not plan.invalid else []:
            session.output.say(f"bulkops {session.command}: {error['message']}")
        return code
    reason = str(errors[0]["message"]) if errors else None
    summary = summarize(plan.figures, ledger=plan.ledger, state="planned", reason=reason, exit=code)
    warnings = [
        {
            "message": warning.message,
            "count": warning.count,
            "file": warning.example[0] if warning.example else None,
            "line": warning.example[1] if warning.example else None,
        }
        for warning in plan.warnings
    ]
    extra: dict[str, object] = {"errors": errors} if errors else {}
    session.output.answer_json({**summary.as_json(), "warnings": warnings, **extra})
    return code
