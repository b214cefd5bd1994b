"""Files that commands write: readable by their owner only, no symbolic link followed, complete or not there at all."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from bulkops.errors import ConfigError
from bulkops.report.escape import escape


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[TextIO]:
    """A text stream (UTF-8, newlines as written) that becomes the file once the block ends well, and vanishes otherwise.

    Raises:
        ConfigError: The place can't be written, or is there and no plain file.
    """
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        pass
    except OSError as error:
        raise _failed(path, error) from None
    else:
        if not stat.S_ISREG(mode):  # to replace /dev/null or follow a link would surprise
            raise ConfigError(f"can't write {escape(str(path))}: it is there and no plain file")
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
    try:
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise _failed(path, error) from None
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace", newline="") as stream:
            yield stream
            stream.flush()
            os.fsync(descriptor)
        partial.replace(path)
    except OSError as error:
        _discard(partial)
        raise _failed(path, error) from None
    except BaseException:
        _discard(partial)
        raise


def append_private(path: Path) -> TextIO:
    """A text stream that appends to a file which only its owner reads; made where there is none.

    Raises:
        ConfigError: It can't be opened, is a symbolic link, or no plain file.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise _failed(path, error) from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise ConfigError(f"can't write {escape(str(path))}: it is there and no plain file")
    return os.fdopen(descriptor, "a", encoding="utf-8", errors="backslashreplace")


def _discard(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink()


def _failed(path: Path, error: OSError) -> ConfigError:
    return ConfigError(f"can't write {escape(str(path))}: {error.strerror}")
