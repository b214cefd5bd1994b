"""The remote service imitated on this machine over HTTP, with faults to order.

Shares no code with `chat.client`: each is the other's test. See docs/sandbox.md.
"""

from __future__ import annotations

from bulkops.sandbox.faults import Fault, Kind
from bulkops.sandbox.sandbox import DEMO_IDENTIFIER, DEMO_KEY, DEMO_SDKAPPID, Sandbox
from bulkops.sandbox.stats import ApiStats, SandboxStats, SeenRequest
from bulkops.sandbox.thread import SandboxThread, serve

__all__ = [
    "ApiStats",
    "DEMO_IDENTIFIER",
    "DEMO_KEY",
    "DEMO_SDKAPPID",
    "Fault",
    "Kind",
    "Sandbox",
    "SandboxStats",
    "SandboxThread",
    "SeenRequest",
    "serve",
]
