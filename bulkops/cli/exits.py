"""Which exit code an exception becomes: the one place that decides it. Outcomes are decided in `report.summary.exit_code`.

| Exit | Exceptions |
|---|---|
| 2 | `ConfigError`, `JobFileError`, `LedgerMissing`, `LedgerMismatch` |
| 3 | `RunStopped` |
| 4 | `KeyboardInterrupt` |
| 5 | every other `LedgerError` |
| 70 | everything else: a defect |
"""

from __future__ import annotations

from typing import Final

from bulkops.errors import ConfigError, JobFileError, LedgerError, LedgerMismatch, LedgerMissing, RunStopped
from bulkops.report.summary import EXIT_DEFECT, EXIT_LEDGER, EXIT_STOPPED, EXIT_STOPPED_ITSELF, EXIT_USAGE

_EXITS: Final[tuple[tuple[type[BaseException], int], ...]] = (
    (ConfigError, EXIT_USAGE),
    (JobFileError, EXIT_USAGE),
    (LedgerMissing, EXIT_USAGE),
    (LedgerMismatch, EXIT_USAGE),
    (LedgerError, EXIT_LEDGER),
    (RunStopped, EXIT_STOPPED_ITSELF),
    (KeyboardInterrupt, EXIT_STOPPED),
)


def exit_of(error: BaseException) -> int:
    """The exit code of a command that ended with this exception."""
    return next((code for kind, code in _EXITS if isinstance(error, kind)), EXIT_DEFECT)
