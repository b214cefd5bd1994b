"""bulkops carries out very large jobs of deletions on the Tencent Cloud Chat REST API.

The library is what the command line uses: plan a job, open a run, watch it, finish it. Typed, async, without globals,
prints or the environment.

    settings = bulkops.Settings(sdkappid=…, identifier="administrator", secret_key=bulkops.Secret(key), endpoint=…)
    async with bulkops.open_run(["job.csv"], settings=settings) as run:
        summary = await run.finish()

Names are loaded when they are first used: `import bulkops` costs next to nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

from bulkops._version import VERSION as __version__

if TYPE_CHECKING:
    from bulkops.app import (
        Plan as Plan,
    )
    from bulkops.app import (
        Run as Run,
    )
    from bulkops.app import (
        open_resume as open_resume,
    )
    from bulkops.app import (
        open_retry as open_retry,
    )
    from bulkops.app import (
        open_run as open_run,
    )
    from bulkops.app import (
        plan as plan,
    )
    from bulkops.app import (
        results as results,
    )
    from bulkops.app import (
        status as status,
    )
    from bulkops.errors import (
        BulkopsError as BulkopsError,
    )
    from bulkops.errors import (
        ConfigError as ConfigError,
    )
    from bulkops.errors import (
        JobFileError as JobFileError,
    )
    from bulkops.errors import (
        LedgerError as LedgerError,
    )
    from bulkops.errors import (
        LedgerHeld as LedgerHeld,
    )
    from bulkops.errors import (
        LedgerMismatch as LedgerMismatch,
    )
    from bulkops.errors import (
        LedgerMissing as LedgerMissing,
    )
    from bulkops.errors import (
        RunStopped as RunStopped,
    )
    from bulkops.model import Status as Status
    from bulkops.model import Stop as Stop
    from bulkops.model import StopKind as StopKind
    from bulkops.report.summary import Summary as Summary
    from bulkops.settings import REGIONS as REGIONS
    from bulkops.settings import MaxFailures as MaxFailures
    from bulkops.settings import Secret as Secret
    from bulkops.settings import Settings as Settings
    from bulkops.watching import Notice as Notice
    from bulkops.watching import Snapshot as Snapshot

_HOMES: Final = {
    "bulkops.app": ("Plan", "Run", "open_resume", "open_retry", "open_run", "plan", "results", "status"),
    "bulkops.errors": (
        "BulkopsError",
        "ConfigError",
        "JobFileError",
        "LedgerError",
        "LedgerHeld",
        "LedgerMismatch",
        "LedgerMissing",
        "RunStopped",
    ),
    "bulkops.model": ("Status", "Stop", "StopKind"),
    "bulkops.report.summary": ("Summary",),
    "bulkops.settings": ("REGIONS", "MaxFailures", "Secret", "Settings"),
    "bulkops.watching": ("Notice", "Snapshot"),
}
_HOME: Final = {name: module for module, names in _HOMES.items() for name in names}

__all__ = ["__version__", *sorted(_HOME)]  # noqa: PLE0604 - the names are in the table above


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'bulkops' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return list(__all__)
