"""The whole command against servers that send back, and networks that break: no key and no UserSig in anything it leaves behind.

Looked at are standard output and error, the log at its loudest, results, status, and every byte of every file in the folder,
also while the run is under way. The UserSigs are those that arrived at the server, renewed ones included.
"""

from __future__ import annotations

import json
import logging
import re
import socket
import ssl
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import cycle
from pathlib import Path

import pytest

from tests.helpers.chat import traces_of
from tests.helpers.chat_tls import LONG_AGO, Authority
from tests.helpers.cli import bulkops
from tests.helpers.command import Ended
from tests.helpers.driven import driven
from tests.helpers.hostile import ECHOES, GOOD, LIES, SILENCES, WEIGHTS, Hostile, Trick, redirects
from tests.helpers.rawserver import Request, envelope, response

pytestmark = pytest.mark.slow

KEY = "c4b1d0e9a8f7263544536271809fae8dbc3c2b1a09f8e7d6c5b4a39281706f5e"
SDKAPPID = 1400000055

IMPATIENT = """
from bulkops.chat.client import ChatClient
ChatClient.__init__.__kwdefaults__.update(read_timeout=0.8, total_timeout=1.6, connect_timeout=1.0)
"""
"""Timeouts of the client, shortened."""

WATCHED = """
import atexit, pathlib, re
def peak():
    pathlib.Path("peak").write_text(re.search(r"VmHWM:\\s+(\\d+)", pathlib.Path("/proc/self/status").read_text())[1])
atexit.register(peak)
"""
"""Writes the most memory that the process had, in KiB, to the file `peak`."""


class Evidence:
    """What a command in a folder has shown and written."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.usersigs: set[str] = set()
        self._found: dict[str, bytes] = {}
        self._log = 0

    def environ(self, endpoint: str) -> dict[str, str]:
        """Variables for the loudest run there is: debug logs of bulkops and of asyncio, warnings of Python itself."""
        return {
            "BULKOPS_ENDPOINT": endpoint,
            "BULKOPS_SDKAPPID": str(SDKAPPID),
            "BULKOPS_IDENTIFIER": "administrator",
            "BULKOPS_SECRET_KEY": KEY,
            "BULKOPS_LOG_LEVEL": "debug",
            "PYTHONASYNCIODEBUG": "1",
            "PYTHONFAULTHANDLER": "1",
        }

    def run(self, endpoint: str, *arguments: str | Path, prelude: str = "", log: bool = True) -> Ended:
        """Run the command; all that comes of it is evidence.

        Args:
            endpoint: Where its calls go.
            arguments: After its name.
            prelude: As in `driven`.
            log: To a file; else to standard error.
        """
        self._log += 1
        env = self.environ(endpoint) | ({"BULKOPS_LOG_FILE": f"log{self._log}"} if log else {})
        ended = driven(self.folder, *arguments, prelude=prelude, env=env)
        self.add(" ".join(ended.arguments), (ended.stdout + ended.stderr).encode())
        self.collect()
        return ended

    def add(self, name: str, content: bytes) -> None:
        """Keep something to look at."""
        self._found[f"{len(self._found)} {name}"] = content

    def collect(self) -> None:
        """Keep every file as it is now."""
        for path in self.folder.rglob("*"):
            if path.is_file():
                self.add(str(path.relative_to(self.folder)), path.read_bytes())

    def report(self) -> None:
        """Have the ledger shown in every way."""
        ledger = str(self.folder / "job.ledger.db")
        for flags in (["--json"], ["--format", "csv"], ["--format", "jsonl"], ["--rows"]):
            ended = bulkops("status" if flags == ["--json"] else "results", ledger, *flags)
            assert ended.code == 0
            self.add(" ".join(flags), (ended.out + ended.err).encode())

    def shows_no_secret(self) -> None:
        """Fails where a secret is anywhere, saying where and in which form, and not the secret."""
        assert len(self._found) > 3
        for secret in (KEY, *self.usersigs):
            for number, form in enumerate(sorted(traces_of(secret))):
                holding = [name for name, content in self._found.items() if form.encode() in content]
                assert not holding, f"form {number} of a secret of {len(secret)} characters in {holding}"

    def text(self, name: str) -> str:
        """The newest content of a file, as text."""
        return next(content for key, content in reversed(self._found.items()) if key.endswith(f" {name}")).decode(
            "utf-8", "replace"
        )


@pytest.fixture
def evidence(tmp_path: Path) -> Iterator[Evidence]:
    """Collects; in the end nothing of it holds a secret."""
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)  # the server's own complaints about those who hang up
    found = Evidence(tmp_path)
    yield found
    logging.getLogger("asyncio").setLevel(logging.NOTSET)
    found.collect()
    found.shows_no_secret()


def job(folder: Path, rows: int) -> Path:
    """A job of so many clears."""
    path = folder / "job.csv"
    path.write_text("op,id,GroupId,MsgSeq\n" + "".join(f"clear_group_messages,r{row},@g{row},7\n" for row in range(rows)))
    return path


def statuses(folder: Path) -> Mapping[str, int]:
    """How many operations ended how, by the results."""
    ended = bulkops("results", str(folder / "job.ledger.db"), "--format", "jsonl")
    return Counter(json.loads(line)["_status"] for line in ended.out.splitlines())


class Expiry:
    """From a moment on the UserSig then in use is called expired, and sent back in the answer that says so."""

    def __init__(self) -> None:
        self.dead = ""
        self.accepted = 0

    def begin(self, request: Request) -> bytes:
        self.dead = request.query["usersig"]
        return self.judge(request)

    def judge(self, request: Request) -> bytes:
        expired = request.query["usersig"] == self.dead
        self.accepted += not expired
        return response(envelope(70001, f"expired: {request.target}") if expired else envelope())

    @property
    def tricks(self) -> tuple[Trick, ...]:
        return Trick("expiry", self.begin, "keep"), Trick("judge", self.judge, "keep")


def among_good_ones(tricks: Sequence[Trick]) -> list[Trick]:
    """Tricks with two good answers before each, so that the lane goes on streaming."""
    return [each for trick in tricks for each in (GOOD, GOOD, trick)]


def test_a_server_that_is_as_hostile_as_can_be(evidence: Evidence) -> None:
    """Echoes, lies, floods, redirects, silence, an expired UserSig (S1, F13).

    No secret anywhere; no success but those that were; no second host; no memory to speak of; every operation has an outcome.
    """
    expiry = Expiry()
    snapshots: list[str] = []

    def during(request: Request) -> None:
        if len(snapshots) % 40 == 0:
            evidence.collect()
        snapshots.append(request.path)

    with Hostile([GOOD]) as elsewhere:
        tricks = among_good_ones([*ECHOES, *LIES, *redirects(elsewhere.endpoint), *WEIGHTS, *SILENCES])
        with Hostile([*tricks, *expiry.tricks], on_call=during) as server:
            rows = len(tricks) + 20
            job(evidence.folder, rows)
            ended = evidence.run(
                server.endpoint, "run", "job.csv", "--yes", "--max-attempts", "1", "--json", prelude=IMPATIENT + WATCHED
            )
            evidence.usersigs |= server.usersigs
            played = Counter(server.played)
        assert elsewhere.connections == 0, "somebody followed a redirect"
    hostile_peak = int((evidence.folder / "peak").read_text())
    ended.expect(1)
    evidence.report()

    assert len(evidence.usersigs) == 2, "the UserSig was renewed"
    assert set(played) == {trick.name for trick in (*tricks, *expiry.tricks)}
    found = statuses(evidence.folder)
    assert sum(found.values()) == rows
    good = played["good"] + expiry.accepted
    assert good - 5 <= found["succeeded"] <= good, "a good answer may come too late, but nothing else is one"
    assert found["failed"] <= sum(trick in REFUSALS for trick in tricks)
    assert found["in_doubt"] == rows - found["succeeded"] - found["failed"]
    assert "clear_group_msg?[hidden]" in evidence.text("--format csv")
    assert hostile_peak - quiet_peak(evidence.folder / "quiet", rows) <= 20 * 1024


REFUSALS = [trick for trick in ECHOES if b"50002" in trick.say(Request(b"", "POST", "/x?usersig=y", {}, b"", 1))]


def quiet_peak(folder: Path, rows: int) -> int:
    """The most memory that the same job takes where every answer is good, in KiB."""
    folder.mkdir()
    quiet = Evidence(folder)
    job(folder, rows)
    with Hostile([GOOD]) as server:
        quiet.run(
            server.endpoint, "run", "job.csv", "--yes", "--max-attempts", "1", "--json", prelude=IMPATIENT + WATCHED
        ).expect(0)
    return int((folder / "peak").read_text())


@pytest.mark.parametrize(
    ("code", "says"),
    [(70009, "BULKOPS_SECRET_KEY"), (60010, "admin")],
)
def test_a_fatal_answer_that_echoes(code: int, says: str, evidence: Evidence) -> None:
    """The reason of the stop, which is shown, stored and part of the JSON, is told without the secret (S1)."""
    job(evidence.folder, 5)
    fatal = Trick("fatal", lambda request: response(envelope(code, f"{KEY} {request.target}")))
    with Hostile([fatal]) as server:
        ended = evidence.run(server.endpoint, "run", "job.csv", "--yes", "--json", log=False)
        evidence.usersigs |= server.usersigs
    evidence.report()

    assert ended.code == 3
    assert says in ended.json["reason"]
    assert str(code) in ended.json["reason"]
    assert len(server.requests) == 1


def test_a_host_that_is_not_the_api_and_echoes(evidence: Evidence) -> None:
    """Three pages with the request in them: exit 3, nothing of it shown (S1)."""
    job(evidence.folder, 5)
    page = Trick("page", lambda request: response(request.raw, f"403 {request.target}"))
    with Hostile([page]) as server:
        ended = evidence.run(server.endpoint, "run", "job.csv", "--yes", log=False)
        evidence.usersigs |= server.usersigs
    evidence.report()

    assert ended.code == 3
    assert "not the API" in ended.screen


CERTIFICATES: Mapping[str, tuple[Callable[[Authority], ssl.SSLContext], str]] = {
    "expired": (lambda authority: authority.server("127.0.0.1", expires_at=LONG_AGO), "has expired"),
    "of another host": (lambda authority: authority.server("chat.example"), "made out to another"),
    "of nobody": (lambda authority: authority.self_signed(), "the certificate of 127.0.0.1"),
}


@pytest.mark.parametrize("kind", CERTIFICATES)
def test_a_certificate_that_is_wrong(kind: str, evidence: Evidence, tmp_path: Path) -> None:
    """Exit 3 with the reason, nothing sent and nothing given up, no plain text instead (S1, F14)."""
    job(evidence.folder, 5)
    (tmp_path / "tls").mkdir()
    authority = Authority(tmp_path / "tls")
    made, says = CERTIFICATES[kind]
    with Hostile([GOOD], tls=made(authority)) as server:
        ended = evidence.run(server.endpoint, "run", "job.csv", "--yes", "--json", "--ca-file", authority.file, log=False)
        assert not server.requests

    assert ended.code == 3
    assert says in ended.json["reason"]
    assert ended.json["by_status"]["pending"] == 5
    assert ended.json["calls"] == 0


def test_connections_that_are_refused_and_hosts_that_are_gone(evidence: Evidence) -> None:
    """Nothing leaves, nothing is charged, nothing is shown (S1, F14)."""
    job(evidence.folder, 5)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    arguments = ("run", "job.csv", "--yes", "--max-duration", "1", "--max-attempts", "1", "--json")
    for endpoint in (f"http://127.0.0.1:{port}", "https://nobody.invalid"):
        ended = evidence.run(endpoint, *arguments, log=False).expect(4)
        assert ended.json["by_status"]["pending"] == 5
        assert ended.json["calls"] == 0
    evidence.report()


FIND_KEYS = """
import gc
from bulkops.settings import Secret
def keys():
    return [each.reveal() for each in gc.get_objects() if isinstance(each, Secret)]
"""

DEFECTS = {
    "in the client, with the request in its text": """
import bulkops.chat.client as module
def defect(http, body, **options):
    import inspect
    request = inspect.currentframe().f_back.f_locals["self"]._heads
    raise RuntimeError(f"a defect with {request!r}")
module.answered = defect
""",
    "in the engine, with the key in its text": FIND_KEYS
    + """
import bulkops.engine.lane as module
def defect(*_, **__):
    raise RuntimeError(f"a defect with {keys()}")
module.decide = defect
""",
    "in the signing library, with the key in its text": """
import TLSSigAPIv2
def defect(self, *arguments):
    raise RuntimeError(f"a defect with {self.__dict__!r}")
TLSSigAPIv2.TLSSigAPIv2.gen_sig = TLSSigAPIv2.TLSSigAPIv2.genUserSig = defect
""",
    "in the ledger, with the key in its text": FIND_KEYS
    + """
import bulkops.ledger.store as module
def defect(self, changes):
    raise RuntimeError(keys())
module.SqliteStore.apply = defect
""",
}
"""Prelude by what is broken."""

CODES = {"in the signing library, with the key in its text": 2, "in the ledger, with the key in its text": 5}
"""Exit codes where it is not 70."""


@pytest.mark.parametrize(
    ("name", "code", "log"),
    [(name, CODES.get(name, 70), log) for name, log in zip(DEFECTS, cycle((True, False)), strict=False)],
)
def test_a_defect_that_holds_a_secret(name: str, code: int, log: bool, evidence: Evidence) -> None:
    """A traceback, in a log file or on the screen, tells everything but that (S1)."""
    job(evidence.folder, 5)
    with Hostile([GOOD]) as server:
        ended = evidence.run(server.endpoint, "run", "job.csv", "--yes", prelude=DEFECTS[name], log=log)
        evidence.usersigs |= server.usersigs
    evidence.report()

    assert ended.code == code, ended
    if code == 70:
        told = evidence.text("log1") if log else ended.stderr
        assert "Traceback" in told
        assert re.search(r"RuntimeError: a defect with .*\[hidden\]", told)
