# SPDX-License-Identifier: MIT
"""Starts fastpysgi on uvloop and with TLS, which its command line has no options for.

python tests/bench/run_fastpysgi.py MODULE:ATTRIBUTE PORT WORKERS [CERTIFICATE KEY]
"""

import asyncio
import importlib
import sys
from pathlib import Path

import fastpysgi
import uvloop

sys.path.insert(0, str(Path(__file__).parent))
target, port, workers, *tls = sys.argv[1:]
module, name = target.split(":")
fastpysgi.server.loop = uvloop.new_event_loop()
asyncio.set_event_loop(fastpysgi.server.loop)
if tls:
    fastpysgi.server.tls_list = [(*tls, None)]
app = getattr(importlib.import_module(module), name)
fastpysgi.run(app, "127.0.0.1", int(port), workers=int(workers))
