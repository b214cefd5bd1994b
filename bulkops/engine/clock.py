"""The clocks of the machine, behind the engine's `Clock`."""

from __future__ import annotations

import time


class SystemClock:
    """Monotonic seconds, and UTC in microseconds. Not the loop's clock: uvloop's has whole milliseconds and stands while blocked."""

    monotonic = staticmethod(time.monotonic)

    @staticmethod
    def utc() -> int:
        """Microseconds since 1970, UTC."""
        return time.time_ns() // 1000
