# SPDX-License-Identifier: MIT
"""The lifespan protocol: its modes, its failures, its state."""

from __future__ import annotations

import signal

import process_apps
import pytest
from casgi_process import casgi

from asgiserver import StartupError, run_loop
from asgiserver.lifespan import Lifespan


def start(app, mode: str = "auto", stop: bool = True) -> Lifespan:
    async def main() -> Lifespan:
        lifespan = Lifespan(app, mode, {"given": 1})
        try:
            await lifespan.startup()
            if stop:
                await lifespan.shutdown()
        finally:
            await lifespan.cancel()
        return lifespan

    return run_loop(main())


class TestModes:
    @pytest.mark.parametrize("mode", ["auto", "on"])
    def test_spoken(self, mode):
        lifespan = start(process_apps.app, mode)
        assert lifespan.started
        assert lifespan.task is not None
        assert lifespan.task.done()
        assert not lifespan.task.cancelled()

    def test_off(self):
        async def app(scope, receive, send):
            pytest.fail("called")

        assert start(app, "off").task is None

    def test_unsupported(self):
        lifespan = start(process_apps.raises_in_lifespan, "auto")
        assert not lifespan.started
        assert isinstance(lifespan.error, KeyError)

    def test_unsupported_with_on(self):
        with pytest.raises(StartupError, match="KeyError: 'unheard of'"):
            start(process_apps.raises_in_lifespan, "on")

    @pytest.mark.parametrize("mode", ["auto", "on"])
    def test_failed(self, mode):
        with pytest.raises(StartupError, match="the database is down"):
            start(process_apps.fails_to_start, mode)

    def test_failed_and_raised_as_starlette_does(self):
        async def app(scope, receive, send):
            await receive()
            await send({"type": "lifespan.startup.failed", "message": "Traceback: boom"})
            raise RuntimeError("boom")

        with pytest.raises(StartupError, match="Traceback: boom"):
            start(app)

    def test_returns_without_an_answer(self):
        async def app(scope, receive, send):
            pass

        assert not start(app).started


class TestMessages:
    def test_scope(self):
        seen = {}

        async def app(scope, receive, send):
            seen.update(scope)
            await process_apps.lifespan(receive, send)

        lifespan = start(app)
        assert seen == {
            "type": "lifespan",
            "asgi": {"version": "3.0", "spec_version": "2.0"},
            "state": {"given": 1},
        }
        assert seen["state"] is lifespan.state

    @pytest.mark.parametrize(
        "messages",
        [
            ["lifespan.shutdown.complete"],
            ["http.response.start"],
        ],
    )
    def test_wrong_answer(self, messages):
        async def app(scope, receive, send):
            await receive()
            for kind in messages:
                await send({"type": kind})

        with pytest.raises(StartupError, match="RuntimeError"):
            start(app, "on")

    def test_second_answer(self):
        raised = []

        async def app(scope, receive, send):
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            try:
                await send({"type": "lifespan.startup.complete"})
            except RuntimeError as error:
                raised.append(str(error))
            await send({"type": "lifespan.shutdown.complete"})

        start(app)
        assert raised == [
            "Unexpected ASGI message 'lifespan.startup.complete': start-up was answered."
        ]

    def test_dies_after_its_start(self):
        async def app(scope, receive, send):
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            raise OSError("cable pulled")

        lifespan = start(app)
        assert lifespan.started
        assert lifespan.shutdown_failed

    def test_what_follows_the_last_answer_is_run(self):
        ended = []

        async def app(scope, receive, send):
            import asyncio

            await process_apps.lifespan(receive, send)
            await asyncio.sleep(0.02)
            ended.append(True)

        start(app)
        assert ended == [True]


class TestServed:
    def test_state_is_copied_shallowly_for_each_request(self):
        with casgi("process_apps:keeps_state") as server:
            assert server.get().json() == {"count": 1, "seen": False}
            assert server.get().json() == {"count": 2, "seen": False}

    def test_unsupported_serves_all_the_same(self):
        with casgi("process_apps:raises_in_lifespan") as server:
            assert server.get().json() == "fine"
            assert "ASGI 'lifespan' protocol appears unsupported." in server.log

    def test_off(self):
        with casgi("process_apps:never_starts", "--lifespan", "off") as server:
            _ = server.port
            assert "starting for ever" not in server.log

    def test_shutdown_failed(self):
        with casgi("process_apps:shutdown_fails") as server:
            _ = server.port
            server.signal(signal.SIGINT)
            assert server.wait() == 0
            assert "could not say goodbye" in server.log
            assert "Application shutdown failed. Exiting." in server.log
