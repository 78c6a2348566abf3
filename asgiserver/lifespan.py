# SPDX-License-Identifier: MIT
"""The lifespan protocol: one long call of the application around the life of a worker.

Modes, as uvicorn's: ``on`` (an application that does not speak it cannot start), ``off`` (never
called), ``auto`` (an exception before the first answer means it is not supported, and the server
goes on without).
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from .config import StartupError, application_traceback, describe

logger = logging.getLogger("asgiserver.error")


class Lifespan:
    """Calls the application's lifespan.

    Args:
        app: an ASGI 3 application.
        mode: "auto", "on" or "off".
        state: the dict that becomes scope["state"]; the application fills it.
        asgi_version: "2.0" or "3.0".
    """

    def __init__(
        self, app: Any, mode: str, state: dict[str, Any], asgi_version: str = "3.0"
    ) -> None:
        self.app = app
        self.mode = mode
        self.state = state
        self.asgi_version = asgi_version
        self.task: asyncio.Task[None] | None = None
        self.started = False
        self.failure = ""
        self.shutdown_failed = False
        self.error: BaseException | None = None
        self._messages: asyncio.Queue[dict[str, str]] = asyncio.Queue()
        self._startup_answered = asyncio.Event()
        self._shutdown_answered = asyncio.Event()

    async def startup(self) -> None:
        """Runs the application's start-up.

        Raises:
            StartupError: it said lifespan.startup.failed, or raised with mode "on".
        """
        if self.mode == "off":
            return
        logger.info("Waiting for application startup.")
        self._messages.put_nowait({"type": "lifespan.startup"})
        self.task = asyncio.get_running_loop().create_task(self._run())
        await self._startup_answered.wait()
        if self.failure:
            raise StartupError("Application startup failed. Exiting.", self.failure)
        if self.error is not None and self.mode == "on":
            raise StartupError(
                f"Application startup failed: {describe(self.error)}. Exiting.",
                application_traceback(self.error),
            ) from self.error
        if self.error is not None:
            logger.info("ASGI 'lifespan' protocol appears unsupported.")
            logger.debug("The application's answer to it was:", exc_info=self.error)
        logger.info("Application startup complete.")

    async def shutdown(self) -> None:
        """Runs the application's shutdown; what goes wrong there is logged."""
        if not self.started or self.task is None or self.task.done():
            return
        logger.info("Waiting for application shutdown.")
        self._messages.put_nowait({"type": "lifespan.shutdown"})
        await self._shutdown_answered.wait()
        if self.shutdown_failed:
            logger.error("Application shutdown failed. Exiting.")
        else:
            logger.info("Application shutdown complete.")

    async def cancel(self) -> None:
        """Ends the application's call: a moment for what follows its last answer, then force."""
        if self.task is None or self.task.done():
            return
        if self._shutdown_answered.is_set():
            await asyncio.wait([self.task], timeout=1)
        self.task.cancel()
        await asyncio.wait([self.task], timeout=1)

    async def _run(self) -> None:
        scope = {
            "type": "lifespan",
            "asgi": {"version": self.asgi_version, "spec_version": "2.0"},
            "state": self.state,
        }
        try:
            await self.app(scope, self._messages.get, self._send)
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            if not self._startup_answered.is_set():
                self.error = error
            elif not self.failure and not self.shutdown_failed:
                # Past its start the application's own task has died: worth a traceback, and no
                # reason to stop serving.
                logger.error("Exception in 'lifespan' protocol\n", exc_info=error)
                self.shutdown_failed = True
            if isinstance(error, SystemExit | KeyboardInterrupt):
                raise
        finally:
            self._startup_answered.set()
            self._shutdown_answered.set()

    async def _send(self, message: dict[str, Any]) -> None:
        kind = message["type"]
        if kind in ("lifespan.startup.complete", "lifespan.startup.failed"):
            if self._startup_answered.is_set():
                raise RuntimeError(f"Unexpected ASGI message {kind!r}: start-up was answered.")
            if kind == "lifespan.startup.complete":
                self.started = True
            else:
                self.failure = message.get("message") or "lifespan.startup.failed"
            self._startup_answered.set()
        elif kind in ("lifespan.shutdown.complete", "lifespan.shutdown.failed"):
            if not self._startup_answered.is_set():
                raise RuntimeError(f"Unexpected ASGI message {kind!r}: start-up is not answered.")
            if self._shutdown_answered.is_set():
                raise RuntimeError(f"Unexpected ASGI message {kind!r}: shutdown was answered.")
            if kind == "lifespan.shutdown.failed":
                self.shutdown_failed = True
                if message.get("message"):
                    logger.error(message["message"])
            self._shutdown_answered.set()
        else:
            raise RuntimeError(
                f"Expected a 'lifespan.startup' or 'lifespan.shutdown' answer, got {kind!r}."
            )
