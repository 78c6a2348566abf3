# SPDX-License-Identifier: MIT
"""What holds for every test."""

from __future__ import annotations

import os
import signal

# Code caches of tests stay out of the user's folder; those of the cache itself name another.
os.environ.setdefault("CASGI_JS_CACHE", "off")

# A shell starts its background jobs with SIGINT ignored, and children inherit that: the tests of
# Ctrl-C, and the servers started by tests, are to see it as they would in a terminal.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
