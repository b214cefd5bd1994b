"""The benchmarks' load server in its own process: it says how far its own times can be trusted."""

from __future__ import annotations

import http.client
import os
import signal
import time
from urllib.parse import urlsplit

from benchmarks.target import LoadServer
from tests.helpers.otherserver_handle import wait_until


def test_a_server_that_was_kept_from_the_processor_says_for_how_long() -> None:
    """What it stamped meanwhile is late by up to that much: a second with too many calls may be its own doing."""
    with LoadServer() as server:
        connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=10)
        connection.request("POST", "/v4/recentcontact/delete?sdkappid=1&random=1", b"{}", {"Content-Length": "2"})
        assert connection.getresponse().read()

        os.kill(server.pid, signal.SIGSTOP)
        time.sleep(0.2)
        os.kill(server.pid, signal.SIGCONT)

        wait_until(lambda: server.seen().late >= 0.15, "the server to notice")
        connection.close()
        server.reset()
        assert server.seen().late == 0.0
