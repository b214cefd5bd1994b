"""Settings are checked whole, once, and never give a secret away."""

from __future__ import annotations

import pickle
from dataclasses import replace

import pytest

from bulkops.errors import ConfigError
from bulkops.settings import REGIONS, MaxFailures, Secret, Settings, is_loopback

GOOD = Settings(sdkappid=1400000000, identifier="administrator", secret_key=Secret("k3y" * 20), endpoint=REGIONS["china"])


@pytest.mark.parametrize(
    "endpoint",
    [
        "https://console.tim.qq.com",
        "https://host:8443",
        "http://127.0.0.1:8080",
        "http://localhost:1",
        "http://[::1]:9",
        "https://h/",
    ],
)
def test_an_endpoint_of_scheme_host_and_port_is_taken(endpoint: str) -> None:
    assert replace(GOOD, endpoint=endpoint).endpoint == endpoint


@pytest.mark.parametrize(
    ("endpoint", "said"),
    [
        ("console.tim.qq.com", "no URL"),
        ("ftp://host", "no URL"),
        ("https://host:99999", "no URL"),
        ("https://host:0", "no URL"),
        ("https://host/v4", "more than scheme, host and port"),
        ("https://host?usersig=eJsecret", "more than scheme, host and port"),
        ("https://user:pass@host", "more than scheme, host and port"),
        ("http://console.tim.qq.com", "use https"),
        ("http://127.0.0.1.example.com", "use https"),
    ],
)
def test_any_other_endpoint_is_refused_in_words(endpoint: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as refusal:
        replace(GOOD, endpoint=endpoint)
    assert "eJsecret" not in str(refusal.value)
    assert "pass@" not in str(refusal.value)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"sdkappid": 0}, "SDKAppID"),
        ({"identifier": ""}, "identifier"),
        ({"secret_key": Secret("")}, "secret key"),
        ({"max_attempts": 0}, "--max-attempts"),
        ({"rates": {"delete_conversation": 201}}, "--allow-over-limit"),
        ({"rates": {"delete_conversation": 0}}, "at least 1"),
        ({"rates": {"nothing": 1}}, "no API"),
        ({"absent_codes": frozenset({50004})}, "means transient"),
        ({"absent_codes": frozenset({0})}, "means succeeded"),
        ({"absent_codes": frozenset({70009})}, "means fatal"),
    ],
)
def test_settings_that_do_not_fit_are_refused_whole(change: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        replace(GOOD, **change)  # type: ignore[arg-type]  # any field, by name


def test_a_rate_above_the_limit_is_taken_when_allowed() -> None:
    over = replace(GOOD, rates={"delete_conversation": 500}, allow_over_limit=True)
    assert (over.rate("delete_conversation"), over.rate("clear_group_messages")) == (500, 200)


def test_what_is_stored_holds_every_setting_but_the_secret() -> None:
    stored = replace(GOOD, absent_codes=frozenset({50001, 10015}), max_failures=MaxFailures.parse("5%")).stored()
    assert "secret_key" not in stored
    assert "k3y" not in repr(stored)
    assert stored["absent_codes"] == [10015, 50001]
    assert stored["max_failures"] == "5%"


@pytest.mark.parametrize("show", [repr, str, lambda secret: f"{secret}", lambda secret: f"{secret!s:>40}"])
def test_a_secret_never_shows_itself(show: object) -> None:
    assert callable(show)
    assert "k3y" not in show(GOOD.secret_key)
    assert "k3y" not in show(GOOD)


def test_a_secret_is_not_pickled() -> None:
    with pytest.raises(TypeError):
        pickle.dumps(GOOD.secret_key)


@pytest.mark.parametrize(
    ("text", "count", "percent"), [("100", 100, 50.0), ("0", 0, 50.0), ("5%", None, 5.0), ("0.5%", None, 0.5)]
)
def test_max_failures_is_a_count_or_a_share(text: str, count: int | None, percent: float) -> None:
    parsed = MaxFailures.parse(text)
    assert (parsed.count, parsed.percent) == (count, percent)


@pytest.mark.parametrize("text", ["", "-1", "1.5", "101%", "%", "x%", "nan%", "१"])
def test_anything_else_is_no_limit_on_failures(text: str) -> None:
    with pytest.raises(ConfigError, match="--max-failures"):
        MaxFailures.parse(text)


@pytest.mark.parametrize(
    ("host", "own"), [("localhost", True), ("127.9.9.9", True), ("::1", True), ("10.0.0.1", False), ("lo", False)]
)
def test_only_this_machine_is_loopback(host: str, own: bool) -> None:
    assert is_loopback(host) is own
