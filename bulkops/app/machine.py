"""What this machine allows: how many connections, and who else uses the same lanes."""

from __future__ import annotations

import resource
from collections.abc import Mapping
from typing import Final

from bulkops.engine.policy import PLACES

RESERVED: Final = 40
"""File descriptors that are not connections: ledger, locks, logs, standard streams, the event loop, name look-ups."""


def places(rates: Mapping[str, int]) -> tuple[dict[str, int], str]:
    """Places of each lane within the limit on open files, raised as far as the system lets us.

    Args:
        rates: Calls per second by op.

    Returns:
        Places by op, and a note in words where they are fewer than the rate asks for.
    """
    wanted = {op: max(1, round(rate * PLACES)) for op, rate in rates.items()}
    need = sum(wanted.values()) + RESERVED
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < need:
        target = need if hard == resource.RLIM_INFINITY else min(need, hard)
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (target, hard))
            soft = target
        except (ValueError, OSError):
            pass  # then with what there is
    if soft == resource.RLIM_INFINITY or soft >= need:
        return wanted, ""
    share = max(1, (soft - RESERVED) // max(1, len(wanted)))
    fewer = {op: min(count, share) for op, count in wanted.items()}
    text = f"only {soft} open files are allowed: at most {share} call{'' if share == 1 else 's'} at a time per API; raise it with ulimit -n {need}"
    return fewer, text
