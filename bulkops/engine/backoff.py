"""How long an operation waits before its next attempt. Pure but for the random part.

Full jitter: the wait is drawn evenly between nothing and an upper end that doubles with every attempt. Whoever failed
together does not come back together. Source: "Exponential Backoff and Jitter", AWS Architecture Blog, 2015.
"""

from __future__ import annotations

from typing import Any, Final

from tenacity import RetryCallState, wait_random_exponential

BASE: Final = 0.5
"""Upper end of the first wait, in seconds."""

CAP: Final = 30.0
"""Upper end of every later wait, in seconds."""

_WAIT: Final = wait_random_exponential(multiplier=BASE, max=CAP)


def backoff(tries: int) -> float:
    """Seconds to wait after an operation's `tries`-th failure (from 1): even over 0 … min(CAP, BASE · 2^(tries-1)).

    Each call has a retry state of its own: shared between operations, one's attempts would lengthen another's waits.
    """
    nothing: Any = None  # tenacity's strategies look at the attempt's number only
    state = RetryCallState(retry_object=nothing, fn=None, args=(), kwargs={})
    state.attempt_number = max(1, tries)
    return _WAIT(state)
