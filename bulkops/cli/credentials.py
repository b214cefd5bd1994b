"""The secret key: from a variable or from a file that only its owner reads. It is never a flag and never shown."""

from __future__ import annotations

import stat
from collections.abc import Callable, Mapping
from typing import Final

from bulkops.cli.values import home_resolved
from bulkops.errors import ConfigError
from bulkops.report.escape import escape
from bulkops.settings import Secret

KEY_VARIABLE: Final = "BULKOPS_SECRET_KEY"
KEY_FILE_VARIABLE: Final = "BULKOPS_SECRET_KEY_FILE"
_MOST_BYTES: Final = 65536


def secret_key(environ: Mapping[str, str], profile_file: str | None, warn: Callable[[str], None]) -> Secret | None:
    """The key, `None` where none is given. A variable comes before a profile's file.

    Args:
        environ: The environment.
        profile_file: `secret_key_file` of the profile.
        warn: Takes one line for people, such as about a key file that others can read.

    Raises:
        ConfigError: Both variables are set and hold different keys, or a key file can't be used.
    """
    key, file = environ.get(KEY_VARIABLE, ""), environ.get(KEY_FILE_VARIABLE, "")
    if key:
        if file and _read(file, warn) != key:
            raise ConfigError(f"{KEY_VARIABLE} and {KEY_FILE_VARIABLE} are both set and hold different keys: unset one of them")
        return Secret(key)
    if file:
        return Secret(_read(file, warn))
    return Secret(_read(profile_file, warn)) if profile_file else None


def _read(path: str, warn: Callable[[str], None]) -> str:
    """A key file's content without the newline at its end."""
    shown = escape(path)
    whole = home_resolved(path)
    try:
        with whole.open("rb") as file:
            mode = whole.stat().st_mode
            raw = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"can't read the key file {shown}: {error.strerror}") from None
    if stat.S_ISREG(mode) and mode & (stat.S_IRWXG | stat.S_IRWXO):
        warn(f"warning: others on this machine can read the key file {shown}: chmod 600 {shown}")
    try:
        key = raw.decode("ascii").removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        key = ""
    if not key or len(raw) > _MOST_BYTES or not key.isprintable():
        raise ConfigError(f"the key file {shown} does not hold one line with the app's secret key")
    return key
