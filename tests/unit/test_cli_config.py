"""Settings: flags, variables, ledger, profile, in this order, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import trustme

from bulkops.cli import values
from bulkops.cli.config import Resolved, SandboxApp, Sources, build_settings, read_flags, resolve
from bulkops.cli.options import RESUME, RETRY, RUN, SETTINGS
from bulkops.errors import ConfigError
from bulkops.settings import Settings
from tests.helpers.cli import CREDENTIALS
from tests.helpers.report import OPS


class Corner:
    """A working folder and a home folder with profiles, and whatever was warned about."""

    def __init__(self, folder: Path) -> None:
        self.here, self.home = folder / "here", folder / "home" / ".config" / "bulkops"
        self.here.mkdir()
        self.home.mkdir(parents=True)
        self.warnings: list[str] = []

    def sources(self, environ: Mapping[str, str] | None = None) -> Sources:
        places = (self.here / "bulkops.toml", self.home / "bulkops.toml")
        return Sources(environ or {}, places, self.warnings.append)

    def resolve(
        self, flags: dict[str, Any] | None = None, environ: Mapping[str, str] | None = None, **options: Any
    ) -> Resolved:
        return resolve(read_flags(RUN, flags or {}), self.sources(environ), **options)

    def settings(
        self, flags: dict[str, Any] | None = None, environ: Mapping[str, str] | None = None, **options: Any
    ) -> Settings:
        merged = CREDENTIALS | dict(environ or {})
        return build_settings(self.resolve(flags, merged, **options), self.sources(merged))

    def profile(self, text: str, *, home: bool = False) -> None:
        folder = self.home if home else self.here
        (folder / "bulkops.toml").write_text(f"[profiles.test]\n{text}\n", encoding="utf-8")


@pytest.fixture
def corner(tmp_path: Path) -> Corner:
    return Corner(tmp_path)


SPELLINGS: list[tuple[str, str, str, object]] = [
    ("max_ops", "1000", "max_ops", 1000),
    ("max_ops", "none", "max_ops", None),
    ("max_attempts", "3", "max_attempts", 3),
    ("absent", "fail", "absent_fails", True),
    ("absent", "succeed", "absent_fails", False),
    ("in_doubt", "hold", "hold_in_doubt", True),
    ("in_doubt", "resend", "hold_in_doubt", False),
    ("absent_codes", "50001, 10010", "absent_codes", frozenset({50001, 10010})),
    ("outage_limit", "90", "outage_limit", 90.0),
    ("max_duration", "90s", "max_duration", 90.0),
    ("max_duration", "30m", "max_duration", 1800.0),
    ("max_duration", "2h", "max_duration", 7200.0),
    ("max_duration", "1.5h", "max_duration", 5400.0),
    ("max_duration", "none", "max_duration", None),
    ("canary", "10", "canary", 10),
    ("canary", "0", "canary", 0),
    ("region", "tokyo", "endpoint", "https://adminapijpn.im.qcloud.com"),
    ("endpoint", "https://adminapijpn.im.qcloud.com/", "region", "tokyo"),
    ("endpoint", "http://127.0.0.1:8080", "region", ""),
    ("identifier", "operator", "identifier", "operator"),
    ("sdkappid", "1400000009", "sdkappid", 1400000009),
]


@pytest.mark.parametrize(("name", "text", "setting", "value"), SPELLINGS)
@pytest.mark.parametrize("source", ["flag", "variable", "profile"])
def test_every_source_reads_a_setting_alike(
    corner: Corner, source: str, name: str, text: str, setting: str, value: object
) -> None:
    """A flag, its variable and its profile entry mean the same."""
    environ = {key: own for key, own in CREDENTIALS.items() if key != SETTINGS[name].variable}
    flags: dict[str, Any] = {}
    if source == "flag":
        flags = {name: text}
    elif source == "variable":
        environ[SETTINGS[name].variable] = text
    else:
        corner.profile(f'{name} = "{text}"')
        flags = {"profile": "test"}
    settings = build_settings(corner.resolve(flags, environ), corner.sources(environ))
    assert getattr(settings, setting) == value


@pytest.mark.parametrize("source", ["flag", "variable", "profile"])
def test_switches_and_lists_work_in_every_source(corner: Corner, source: str) -> None:
    flags: dict[str, Any] = {}
    environ: dict[str, str] = {}
    if source == "flag":
        flags = {"allow_over_limit": True, "rate": ["300", f"{OPS[1]}=10"]}
    elif source == "variable":
        environ = {"BULKOPS_ALLOW_OVER_LIMIT": "1", "BULKOPS_RATE": f"300 {OPS[1]}=10"}
    else:
        corner.profile(f'allow_over_limit = true\nrate = ["300", "{OPS[1]}=10"]')
        flags = {"profile": "test"}
    settings = corner.settings(flags, environ)
    assert settings.allow_over_limit
    assert settings.rates == {OPS[0]: 300, OPS[1]: 10, OPS[2]: 300}


@pytest.mark.parametrize(
    ("entry", "rates"),
    [("50", dict.fromkeys(OPS, 50)), (f"{{ {OPS[2]} = 7 }}", {OPS[2]: 7}), (f'"{OPS[2]}=7"', {OPS[2]: 7})],
)
def test_a_profile_writes_rates_as_toml_does(corner: Corner, entry: str, rates: dict[str, int]) -> None:
    corner.profile(f"rate = {entry}\nabsent_codes = [50001, 50002]\nmax_ops = 5")
    settings = corner.settings({"profile": "test"})
    assert settings.rates == rates
    assert settings.absent_codes == {50001, 50002}
    assert settings.max_ops == 5


def test_the_first_source_that_has_a_setting_decides(corner: Corner) -> None:
    """Flag, variable, ledger, profile; then the default."""
    corner.profile("max_attempts = 4\nmax_ops = 4\ncanary = 4\nmax_duration = 4\noutage_limit = 4")
    environ = {"BULKOPS_MAX_ATTEMPTS": "2", "BULKOPS_MAX_OPS": "2"}
    stored = {"max_attempts": 3, "max_ops": 3, "max_duration": 3.0}
    settings = corner.settings({"profile": "test", "max_attempts": "1"}, environ, stored=stored)
    assert (settings.max_attempts, settings.max_ops, settings.max_duration, settings.outage_limit) == (1, 2, 3.0, 4.0)
    assert settings.max_failures.percent == 50.0


def test_rates_of_single_apis_add_up_over_the_sources(corner: Corner) -> None:
    """To slow one API down does not speed the others up; a rate for all replaces what lies beneath."""
    stored = {"rates": {OPS[0]: 50, OPS[1]: 60}}
    assert corner.settings({"rate": [f"{OPS[1]}=5"]}, stored=stored).rates == {OPS[0]: 50, OPS[1]: 5}
    assert corner.settings({"rate": ["9"]}, stored=stored).rates == dict.fromkeys(OPS, 9)


def test_region_and_endpoint_are_one_choice(corner: Corner) -> None:
    """A region on the command line overrides an endpoint of the environment, and the other way round."""
    settings = corner.settings({"region": "seoul"}, {"BULKOPS_ENDPOINT": "https://example.org"})
    assert (settings.region, settings.endpoint) == ("seoul", "https://adminapikr.im.qcloud.com")
    settings = corner.settings({"endpoint": "https://example.org"}, {"BULKOPS_REGION": "seoul"})
    assert (settings.region, settings.endpoint) == ("", "https://example.org")


def test_the_region_is_china_unless_somebody_says(corner: Corner) -> None:
    settings = corner.settings()
    assert (settings.region, settings.endpoint) == ("china", "https://console.tim.qq.com")


def test_an_empty_variable_is_no_variable(corner: Corner) -> None:
    assert corner.settings(environ={"BULKOPS_MAX_OPS": ""}).max_ops is None


def test_the_own_endpoint_of_a_region_may_be_given_too(corner: Corner) -> None:
    flags = {"region": "seoul", "endpoint": "https://adminapikr.im.qcloud.com"}
    assert corner.settings(flags).region == "seoul"


@pytest.mark.parametrize(
    ("flags", "environ", "said"),
    [
        ({"max_ops": "0"}, {}, "--max-ops takes a whole number, at least 1, or none, not '0'"),
        ({"max_ops": "x" * 30}, {}, "--max-ops takes"),
        ({"sdkappid": "-5"}, {}, "--sdkappid takes a whole number, at least 1, not '-5'"),
        ({"canary": "1.5"}, {}, "--canary takes a whole number, 0 for none"),
        ({}, {"BULKOPS_MAX_ATTEMPTS": "many"}, "BULKOPS_MAX_ATTEMPTS takes a whole number, at least 1, not 'many'"),
        ({"max_duration": "soon"}, {}, "--max-duration takes a duration such as 90, 90s, 30m or 2h, or none, not 'soon'"),
        ({"outage_limit": "0"}, {}, "--outage-limit takes a duration"),
        ({"absent": "fial"}, {}, "--absent takes succeed or fail, not 'fial'; did you mean fail?"),
        ({"absent_codes": "50001,x"}, {}, "--absent-codes takes ErrorCodes with commas between them"),
        ({"absent_codes": "0"}, {}, "--absent-codes takes"),
        ({"region": "tokio"}, {}, "did you mean tokyo?"),
        ({"rate": ["fast"]}, {}, "--rate takes a whole number of calls per second"),
        ({"rate": ["clear_group_message=5"]}, {}, "did you mean clear_group_messages?"),
        ({"rate": ["201"]}, {}, "--rate 201 is above the 200 calls per second"),
        ({"max_failures": "120%"}, {}, "--max-failures takes a whole number or a share such as 5%"),
        ({"endpoint": "http://example.org"}, {}, "use https"),
        ({"endpoint": "https://example.org", "region": "seoul"}, {}, "--region and --endpoint name different hosts"),
        ({}, {"BULKOPS_ALLOW_OVER_LIMIT": "perhaps"}, "BULKOPS_ALLOW_OVER_LIMIT takes 1 or 0"),
        ({"identifier": ""}, {}, "--identifier takes a text that is not empty"),
        ({"op": "delete"}, {}, "--op takes"),
        ({"max_ops": "\x1b[2J"}, {}, "not '\\\\x1b[2J'"),
        ({"ca_file": "/nonexistent/ca.pem"}, {}, "--ca-file: can't read /nonexistent/ca.pem: No such file"),
    ],
)
def test_what_is_wrong_is_named_as_it_was_given(
    corner: Corner, flags: dict[str, Any], environ: dict[str, str], said: str
) -> None:
    """One line: which flag or variable, what it takes, what it got."""
    with pytest.raises(ConfigError) as caught:
        corner.settings(flags, environ)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("max_op = 5", "there is no setting 'max_op'; did you mean max_ops?"),
        ("zzz = 5", "there is no setting 'zzz'"),
        ("max_ops = 0", "max_ops in [profiles.test] of"),
        ("max_ops = true", "a value is expected"),
        ("allow_over_limit = 1", "true or false is expected"),
        ("max_ops = 2024-01-01", "a text, a number or a list of them is expected"),
        ('secret_key = "k"', "name its file with secret_key_file"),
        ('profile = "other"', "a profile can't name another"),
        ('region = "seoul"\nendpoint = "https://example.org"', "region and endpoint in [profiles.test]"),
        ("max_ops =", "can't be read as TOML"),
        ("\n[other]\nx = 1", "holds more than [profiles.NAME] tables: other"),
    ],
)
def test_what_is_wrong_in_a_profile_is_named_with_its_file(corner: Corner, text: str, said: str) -> None:
    corner.profile(text)
    with pytest.raises(ConfigError) as caught:
        corner.settings({"profile": "test"})
    assert said in str(caught.value)
    assert "bulkops.toml" in str(caught.value)


def test_a_secret_in_a_profile_is_not_repeated(corner: Corner) -> None:
    corner.profile('secret_key = "topsecret"')
    with pytest.raises(ConfigError) as caught:
        corner.settings({"profile": "test"})
    assert "topsecret" not in str(caught.value)


@pytest.mark.parametrize("content", ["profiles = 5", "[profiles]\ntest = 5", b"\xff"])
def test_a_file_that_holds_no_profiles_is_an_error(corner: Corner, content: str | bytes) -> None:
    raw = content if isinstance(content, bytes) else content.encode()
    (corner.here / "bulkops.toml").write_bytes(raw)
    with pytest.raises(ConfigError, match=r"bulkops\.toml"):
        corner.settings({"profile": "test"})


def test_a_file_that_can_not_be_read_is_an_error(corner: Corner) -> None:
    (corner.here / "bulkops.toml").mkdir()
    with pytest.raises(ConfigError, match="can't read"):
        corner.settings({"profile": "test"})


def test_the_folder_comes_before_the_home(corner: Corner) -> None:
    """A profile that only the home has is found there."""
    corner.profile("max_ops = 1", home=True)
    assert corner.settings({"profile": "test"}).max_ops == 1
    corner.profile("max_ops = 2")
    assert corner.settings({"profile": "test"}).max_ops == 2


def test_a_profile_may_be_named_by_a_variable(corner: Corner) -> None:
    corner.profile("max_ops = 1")
    assert corner.settings(environ={"BULKOPS_PROFILE": "test"}).max_ops == 1


def test_without_a_profile_no_file_is_read(corner: Corner) -> None:
    """A broken file that nobody asked for breaks nothing."""
    (corner.here / "bulkops.toml").write_text("broken", encoding="utf-8")
    assert corner.settings().max_ops is None


def test_a_missing_profile_is_an_error_with_a_suggestion(corner: Corner) -> None:
    with pytest.raises(ConfigError, match=r"no \[profiles\.tset\] in"):
        corner.settings({"profile": "tset"})
    corner.profile("max_ops = 1")
    with pytest.raises(ConfigError, match=r"did you mean test\?"):
        corner.settings({"profile": "tset"})
    with pytest.raises(ConfigError, match="there are test"):
        corner.settings({"profile": "zzz"})


def test_a_resume_survives_the_loss_of_its_own_profile(corner: Corner) -> None:
    """All that the profile gave is in the ledger, but for the key."""
    assert corner.settings(stored={"profile": "gone", "max_ops": 7}).max_ops == 7
    with pytest.raises(ConfigError, match=r"profiles\.gone"):
        corner.settings({"profile": "gone"}, stored={"max_ops": 7})


def test_a_resume_finds_the_key_through_its_own_profile(corner: Corner) -> None:
    """Relative to the file that names it."""
    corner.profile('secret_key_file = "key"\nmax_ops = 3')
    (corner.here / "key").write_text("x" * 64 + "\n", encoding="ascii")
    (corner.here / "key").chmod(0o600)
    stored = {"profile": "test", "sdkappid": 5, "identifier": "a", "max_ops": 7}
    resolved = corner.resolve(stored=stored)
    settings = build_settings(resolved, corner.sources())
    assert settings.secret_key.reveal() == "x" * 64
    assert settings.max_ops == 7


def test_what_a_ledger_holds_beside_settings_is_passed_over(corner: Corner) -> None:
    """Files, op, and what a later version may add."""
    stored = {"files": ["a"], "op": None, "on_invalid": "skip", "from_the_future": 1, "secret_key": "x"}
    assert corner.settings(stored=stored).secret_key.reveal() == CREDENTIALS["BULKOPS_SECRET_KEY"]


def test_a_misspelt_variable_is_pointed_out(corner: Corner) -> None:
    """A guard that silently doesn't hold would be worse; what is nothing like a setting is left alone."""
    corner.settings(environ={"BULKOPS_MAX_OP": "5", "BULKOPS_QQQQQQ": "1", "OTHER": "1"})
    assert corner.warnings == ["warning: there is no variable BULKOPS_MAX_OP; did you mean BULKOPS_MAX_OPS?"]


def test_certificates_may_lie_at_home(corner: Corner, monkeypatch: pytest.MonkeyPatch) -> None:
    trustme.CA().cert_pem.write_to_path(corner.here / "ca.pem")
    monkeypatch.setenv("HOME", str(corner.here))
    assert corner.settings({"ca_file": "~/ca.pem"}).ca_file == str(corner.here / "ca.pem")


def test_missing_credentials_are_named_together(corner: Corner) -> None:
    with pytest.raises(ConfigError) as caught:
        build_settings(corner.resolve(), corner.sources())
    assert "set BULKOPS_SDKAPPID and BULKOPS_IDENTIFIER and BULKOPS_SECRET_KEY (or BULKOPS_SECRET_KEY_FILE)" in str(
        caught.value
    )
    assert "--sandbox" in str(caught.value)


def test_the_sandbox_brings_its_own_app(corner: Corner) -> None:
    """Whatever the environment says about a real one."""
    environ = CREDENTIALS | {"BULKOPS_REGION": "tokyo", "BULKOPS_RATE": "50"}
    app = SandboxApp(7, "demo", "demo-key", "http://127.0.0.1:9")
    settings = build_settings(corner.resolve({"sandbox": True}, environ), corner.sources(environ), sandbox=app)
    assert (settings.sdkappid, settings.identifier, settings.endpoint, settings.region) == (7, "demo", "http://127.0.0.1:9", "")
    assert settings.secret_key.reveal() == "demo-key"
    assert settings.sandbox
    assert settings.rates == dict.fromkeys(OPS, 50)


def test_every_setting_has_a_flag_a_variable_and_a_profile_key() -> None:
    """But for the secret, which has no flag, and what a run notes about itself."""
    filled = {option.fills for option in (*RUN, *RESUME, *RETRY) if option.setting}
    own = set(Settings.__dataclass_fields__) - {"secret_key"}
    assert own <= filled


def test_no_flag_takes_a_secret() -> None:
    assert not [option.flag for option in (*RUN, *RETRY) if "key" in option.name or "sig" in option.name]


def test_words_are_suggested_only_when_near() -> None:
    assert values.suggestion("zzz", ["abc"]) == ""
    assert values.suggestion("faild", ["failed", "absent"]) == "failed"
