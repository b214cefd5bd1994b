"""Profiles: named settings in `bulkops.toml`, beside the job or in the user's configuration folder."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Final

from bulkops.cli.values import home_resolved, suggestion
from bulkops.errors import ConfigError
from bulkops.report.escape import escape

FILE_NAME: Final = "bulkops.toml"
_PATHS: Final = ("ca_file", "secret_key_file", "log_file")


def profile_places(home: Path | None, here: Path) -> tuple[Path, ...]:
    """Where profiles are looked for, the first match first; a user may have no home."""
    return (here / FILE_NAME, *([home / ".config" / "bulkops" / FILE_NAME] if home else []))


def read_profile(name: str, places: Collection[Path], known: Collection[str]) -> tuple[Mapping[str, Any], Path]:
    """The entries of one profile as TOML has them, and the file that holds it. Paths in it are relative to that file.

    Args:
        name: The profile.
        places: Files to look in, in this order; those that don't exist are passed over.
        known: Keys that a profile may have.

    Raises:
        ConfigError: No file has the profile, a file can't be read, or a key is unknown.
    """
    seen: list[str] = []
    for place in places:
        profiles = _profiles(place)
        if name in profiles:
            return _checked(name, profiles[name], place, known), place
        seen += profiles
    near = suggestion(name, seen)
    hint = f"; did you mean {near}?" if near else f"; there are {', '.join(seen)}" if seen else ""
    raise ConfigError(f"no [profiles.{escape(name)}] in {' or '.join(escape(str(place)) for place in places)}{hint}")


def _profiles(place: Path) -> Mapping[str, Any]:
    import tomllib

    try:
        content = tomllib.loads(place.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise ConfigError(f"can't read {escape(str(place))}: {error.strerror}") from None
    except ValueError as error:  # TOMLDecodeError and UnicodeDecodeError; the latter's text would quote the bytes
        why = escape(str(error)) if isinstance(error, tomllib.TOMLDecodeError) else "not UTF-8"
        raise ConfigError(f"{escape(str(place))} can't be read as TOML: {why}") from None
    unknown = sorted(set(content) - {"profiles"})
    profiles = content.get("profiles", {})
    if unknown or not isinstance(profiles, dict):
        raise ConfigError(
            f"{escape(str(place))} holds more than [profiles.NAME] tables: {escape(', '.join(unknown) or 'profiles')}"
        )
    return profiles


def _checked(name: str, profile: object, place: Path, known: Collection[str]) -> Mapping[str, Any]:
    where = f"[profiles.{escape(name)}] in {escape(str(place))}"
    if not isinstance(profile, dict):
        raise ConfigError(f"{where} is no table")
    for key in profile:
        if key == "secret_key":
            raise ConfigError(f"{where}: a key does not belong in there; name its file with secret_key_file")
        if key not in known:
            near = suggestion(key, known)
            raise ConfigError(f"{where}: there is no setting {escape(key)!r}{f'; did you mean {near}?' if near else ''}")
    return {key: _resolved(value, place) if key in _PATHS else value for key, value in profile.items()}


def _resolved(value: object, place: Path) -> object:
    return str(place.parent / home_resolved(value)) if isinstance(value, str) and value else value
