"""Settings from where they may come: flags, `BULKOPS_…` variables, a ledger, a profile; the first that has one decides.

Each source becomes a *layer*: values by the names that `Settings` has. What is wrong in a layer is reported under the name that
the user gave it there (`--max-ops`, `BULKOPS_MAX_OPS`, `max_ops in [profiles.x]`). The environment comes in as a mapping.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final

from bulkops.chat.catalog import APIS
from bulkops.cli import credentials, profiles, values
from bulkops.cli.options import SETTINGS, Option
from bulkops.errors import ConfigError
from bulkops.report.escape import escape
from bulkops.settings import REGIONS, MaxFailures, Secret, Settings, canonical_endpoint, check_rates

Layer = Mapping[str, Any]

DEFAULT_REGION: Final = "china"
_PREFIX: Final = "BULKOPS_"
_OWN_VARIABLES: Final = (credentials.KEY_VARIABLE, credentials.KEY_FILE_VARIABLE)
_SANDBOX_BRINGS: Final = {
    "sdkappid": "--sdkappid",
    "identifier": "--identifier",
    "endpoint": "--region or --endpoint",
    "ca_file": "--ca-file",
}
_NOT_FROM_A_LEDGER: Final = ("secret_key", "canary")
"""`canary`: a resume goes on without it, unless a flag asks for it anew."""

_QUOTED_IF_A_NUMBER: Final = ("sdkappid",)
"""Anything else that is given there may be the secret key, from the same page of the console."""

_NOT_FOR_A_RESUME: Final = ("canary", "sandbox")
"""What neither a variable nor a profile can say about a run that exists. A ledger of the sandbox stays one."""


@dataclass(frozen=True, slots=True)
class SandboxApp:
    """What a sandbox brings along: its app and where it listens."""

    sdkappid: int
    identifier: str
    key: str
    url: str


@dataclass(frozen=True, slots=True)
class Sources:
    """Where settings are read from, but for the flags.

    Args:
        environ: The environment.
        places: Files that profiles are looked for in.
        warn: Takes one line for people.
    """

    environ: Mapping[str, str]
    places: Sequence[Path]
    warn: Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Resolved:
    """Settings after all layers, by the names that `Settings` has, and those that only the command line has.

    Args:
        values: What some layer has; nothing where none has.
        key_file: `secret_key_file` of the profile.
        flags: The layer of flags alone.
    """

    values: Layer
    key_file: str | None = None
    flags: Layer = field(default_factory=dict)

    def get(self, name: str, default: Any = None) -> Any:
        """A setting, or the default where no layer has it."""
        return self.values.get(name, default)

    @property
    def sandbox(self) -> bool:
        """Whether the run goes to the sandbox."""
        return bool(self.values.get("sandbox", False))

    @property
    def endpoint(self) -> str:
        """URL of the API's host."""
        return str(self.values.get("endpoint", REGIONS[DEFAULT_REGION]))

    @property
    def region(self) -> str:
        """The region's name, empty where the endpoint is none of a region."""
        return str(self.values.get("region", "" if "endpoint" in self.values else DEFAULT_REGION))

    @property
    def rates(self) -> Mapping[str, int]:
        """Calls per second by op, where they differ from the published limit.

        Raises:
            ConfigError: A rate is above the published limit.
        """
        given: Mapping[str, int] = self.values.get("rates", {})
        rates = {api.op: given.get(api.op, given.get("")) for api in APIS}
        out = {op: rate for op, rate in rates.items() if rate is not None}
        check_rates(out, allow_over_limit=bool(self.values.get("allow_over_limit")))
        return out


def read_flags(options: Sequence[Option], given: Mapping[str, object]) -> dict[str, Any]:
    """The layer of flags, from what typer made of the command line."""
    layer: dict[str, Any] = {}
    for option in options:
        raw = given.get(option.name)
        if raw is None or raw is False:
            continue
        layer[option.fills] = _parse(option, raw, option.flag)
    return _with_endpoint(layer, "--region", "--endpoint")


def read_environment(sources: Sources) -> dict[str, Any]:
    """The layer of variables. An empty variable counts as unset; one that looks misspelt is warned about."""
    layer: dict[str, Any] = {}
    for option in SETTINGS.values():
        raw = sources.environ.get(option.variable, "")
        if raw:
            layer[option.fills] = _parse(option, raw.split() if option.many else raw, option.variable)
    known = [
        variable.removeprefix(_PREFIX) for variable in (*_OWN_VARIABLES, *(option.variable for option in SETTINGS.values()))
    ]
    for variable in sorted(sources.environ):
        name = variable.removeprefix(_PREFIX)
        if variable.startswith(_PREFIX) and name not in known and (near := values.suggestion(name, known)):
            sources.warn(f"warning: there is no variable {escape(variable)}; did you mean {_PREFIX}{near}?")
    return _with_endpoint(layer, "BULKOPS_REGION", "BULKOPS_ENDPOINT")


def read_profile(name: str, sources: Sources) -> tuple[dict[str, Any], str | None]:
    """The layer of a profile, and its `secret_key_file`."""
    entries, place = profiles.read_profile(name, sources.places, (*SETTINGS, "secret_key_file"))
    where = f"in [profiles.{escape(name)}] of {escape(str(place))}"
    layer: dict[str, Any] = {}
    key_file: str | None = None
    for key, entry in entries.items():
        label = f"{key} {where}"
        if key == "secret_key_file":
            key_file = _fit(values.text, _toml_text(entry, label), label)
        elif key == "profile":
            raise ConfigError(f"{label}: a profile can't name another")
        else:
            option = SETTINGS[key]
            if isinstance(entry, bool) == bool(option.metavar):
                raise ConfigError(f"{label}: {'a value' if option.metavar else 'true or false'} is expected")
            raw = entry if isinstance(entry, bool) else _toml_many(entry, label) if option.many else _toml_text(entry, label)
            layer[option.fills] = _parse(option, raw, label)
    return _with_endpoint(layer, "region", f"endpoint {where}"), key_file


def read_ledger(stored: Mapping[str, object]) -> dict[str, Any]:
    """The layer of a ledger: what its newest process ran with."""
    known = {each.name for each in fields(Settings)} - set(_NOT_FROM_A_LEDGER)
    layer: dict[str, Any] = {name: value for name, value in stored.items() if name in known}
    if "absent_codes" in layer:
        layer["absent_codes"] = frozenset(layer["absent_codes"])
    if "max_failures" in layer:
        layer["max_failures"] = MaxFailures.parse(str(layer["max_failures"]))
    return layer


def resolve(flags: Layer, sources: Sources, *, stored: Mapping[str, object] | None = None) -> Resolved:
    """All layers in one.

    Args:
        flags: From `read_flags`.
        sources: Where the others come from.
        stored: What the ledger holds, for a resume or a retry. A profile then only fills in what no other layer has.

    Raises:
        ConfigError: A value is not what its setting takes, a profile is missing, or two settings contradict each other.
    """
    environment = read_environment(sources)
    if stored is not None:
        environment = _of_a_resume(environment)
    ledger = {} if stored is None else read_ledger(stored)
    asked = flags.get("profile") or environment.get("profile")
    layers: list[Layer] = [flags, environment, ledger]
    key_file: str | None = None
    name = asked or ledger.get("profile")
    if name:
        try:
            profile, key_file = read_profile(name, sources)
            layers.append(profile if stored is None else _of_a_resume(profile))
        except ConfigError:
            if asked:  # the ledger's own profile may be gone: what it gave is in the ledger, but for the key
                raise
    merged: dict[str, Any] = {}
    for layer in reversed(layers):
        rates = merged.get("rates", {})
        merged.update(layer)
        if "rates" in layer and "" not in layer["rates"]:
            merged["rates"] = {**rates, **layer["rates"]}
    _check_sandbox(flags, merged)
    return Resolved(merged, key_file, flags)


def _of_a_resume(layer: dict[str, Any]) -> dict[str, Any]:
    """A layer without what counts for a new run only."""
    return {name: value for name, value in layer.items() if name not in _NOT_FOR_A_RESUME}


def build_settings(resolved: Resolved, sources: Sources, *, sandbox: SandboxApp | None = None, dry: bool = False) -> Settings:
    """The settings of a run.

    Args:
        resolved: From `resolve`.
        sources: For the key.
        sandbox: The app to use instead, where the run goes to a sandbox.
        dry: Nothing will be sent: a missing key does not matter.

    Raises:
        ConfigError: Credentials are missing, named by their variables, or a setting is out of its range.
    """
    known = {each.name for each in fields(Settings)}
    chosen = {name: value for name, value in resolved.values.items() if name in known}
    chosen |= {"rates": resolved.rates, "endpoint": resolved.endpoint, "region": resolved.region}
    if sandbox is not None:
        chosen |= {"sdkappid": sandbox.sdkappid, "identifier": sandbox.identifier, "endpoint": sandbox.url}
        return Settings(**chosen | {"region": "", "ca_file": "", "sandbox": True}, secret_key=Secret(sandbox.key))
    key = credentials.secret_key(sources.environ, resolved.key_file, sources.warn)
    if key is None and dry:
        key = Secret("not needed")
    missing = [
        variable
        for name, variable in (("sdkappid", "BULKOPS_SDKAPPID"), ("identifier", "BULKOPS_IDENTIFIER"))
        if name not in chosen
    ]
    if key is None:
        missing.append(f"{credentials.KEY_VARIABLE} (or {credentials.KEY_FILE_VARIABLE})")
    if missing or key is None:
        raise ConfigError(
            f"credentials are missing: set {' and '.join(missing)};"
            " for a first try without an account: bulkops run JOB --sandbox"
        )
    chosen["ca_file"] = _certificates(str(chosen.get("ca_file", "")), resolved.endpoint)
    return Settings(**chosen, secret_key=key)


def _certificates(path: str, endpoint: str) -> str:
    """The path of a file that the client of this endpoint can use, with `~` resolved; nothing for nothing."""
    if not path:
        return ""
    import ssl

    whole = values.home_resolved(path)
    try:
        with whole.open("rb"):
            pass
        if endpoint.startswith("https:"):  # the only ones that the client reads certificates for
            ssl.create_default_context(cafile=str(whole))
    except ssl.SSLError:
        raise ConfigError(f"--ca-file: {escape(path)} is no PEM file of certificates") from None
    except OSError as error:
        raise ConfigError(f"--ca-file: can't read {escape(path)}: {error.strerror}") from None
    return str(whole)


def _check_sandbox(flags: Layer, merged: Layer) -> None:
    if not merged.get("sandbox"):
        if flags.get("fault"):
            raise ConfigError("--fault orders a fault of the sandbox: give --sandbox too")
        return
    brought = [flag for name, flag in _SANDBOX_BRINGS.items() if name in flags]
    if brought:
        raise ConfigError(f"the sandbox brings its own app and address: leave out {' and '.join(brought)}")


def _with_endpoint(layer: dict[str, Any], region: str, endpoint: str) -> dict[str, Any]:
    """The layer with region and endpoint as one choice: whichever is given, a layer has both or none.

    Args:
        layer: May have either.
        region: What the region is called there.
        endpoint: What the endpoint is called there.
    """
    if "endpoint" in layer:
        try:
            layer["endpoint"] = canonical_endpoint(layer["endpoint"])
        except ConfigError as error:
            raise ConfigError(f"{endpoint}: {error}") from None
        named = next((name for name, url in REGIONS.items() if url == layer["endpoint"]), "")
        if layer.get("region", named) != named:
            raise ConfigError(f"{region} and {endpoint} name different hosts: give one of them")
        layer["region"] = named
    elif "region" in layer:
        layer["endpoint"] = REGIONS[layer["region"]]
    return layer


def _parse(option: Option, raw: object, label: str) -> Any:
    if not option.metavar:
        return raw if isinstance(raw, bool) else _fit(values.switch, str(raw), label)
    if option.many and isinstance(raw, list):
        parsed = [_fit(option.parse, text, label) for text in raw]
        return dict(parsed) if option.fills == "rates" else parsed
    quoted = option.name not in _QUOTED_IF_A_NUMBER or str(raw).removeprefix("-").isdigit()
    return _fit(option.parse, str(raw), label, quoted=quoted)


def _fit(parse: Callable[[str], object], text: str, label: str, *, quoted: bool = True) -> Any:
    try:
        return parse(text)
    except values.Unfit as unfit:
        got = f", not {escape(text)!r}" if quoted else "; what was given is not shown, as it may be a secret"
        near = f"; did you mean {unfit.near}?" if unfit.near else ""
        raise ConfigError(f"{label} takes {unfit.takes}{got}{near}") from None


def _toml_text(entry: object, label: str) -> str:
    """A TOML value as the text that a flag would have."""
    if isinstance(entry, str | int | float) and not isinstance(entry, bool):
        return str(entry)
    if isinstance(entry, list) and all(isinstance(part, str | int) for part in entry):
        return ",".join(map(str, entry))
    raise ConfigError(f"{label}: a text, a number or a list of them is expected")


def _toml_many(entry: object, label: str) -> list[str]:
    if isinstance(entry, dict):
        return [f"{key}={_toml_text(value, label)}" for key, value in entry.items()]
    if isinstance(entry, list):
        return [_toml_text(part, label) for part in entry]
    return [_toml_text(entry, label)]
