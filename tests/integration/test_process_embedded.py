# SPDX-License-Identifier: MIT
"""The Python interface in the shapes in which programs use uvicorn's."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
import textwrap
import threading

import httpx
import process_apps
import pytest
from casgi_process import HERE, casgi

import asgiserver as uvicorn


@pytest.fixture(autouse=True)
def quiet():
    logging.getLogger("asgiserver").handlers = []


def config(app=process_apps.app, **settings) -> uvicorn.Config:
    return uvicorn.Config(app, port=0, log_config=None, no_js=True, **settings)


def port_of(server: uvicorn.Server) -> int:
    return server.servers[0].sockets[0].getsockname()[1]


class ThreadedServer(uvicorn.Server):
    """The well-known recipe for tests: a server in a thread of the test's process."""

    @contextlib.contextmanager
    def run_in_thread(self):
        thread = threading.Thread(target=self.run)
        thread.start()
        try:
            while not self.started and thread.is_alive():
                thread.join(0.001)
            yield
        finally:
            self.should_exit = True
            thread.join(20)
            assert not thread.is_alive()


def test_in_a_thread():
    server = ThreadedServer(config())
    with server.run_in_thread():
        url = f"http://127.0.0.1:{port_of(server)}/x"
        assert httpx.get(url, trust_env=False).json()["path"] == "/x"
    with pytest.raises(httpx.ConnectError):
        httpx.get(url, trust_env=False)


def test_twice_in_one_process():
    for _ in range(2):
        server = ThreadedServer(config())
        with server.run_in_thread():
            url = f"http://127.0.0.1:{port_of(server)}"
            assert httpx.get(url, trust_env=False).status_code == 200


def test_start_failure_in_a_thread():
    server = ThreadedServer(config(process_apps.fails_to_start))
    with server.run_in_thread():
        assert not server.started
    assert "the database is down" in str(server.startup_error)


async def serve_and_ask(server: uvicorn.Server) -> int:
    task = asyncio.ensure_future(server.serve())
    while not server.started and not task.done():
        await asyncio.sleep(0.001)
    async with httpx.AsyncClient(trust_env=False) as client:
        response = await client.get(f"http://127.0.0.1:{port_of(server)}/nap")
    server.should_exit = True
    await task
    return response.status_code


def test_serve_in_a_running_loop():
    assert uvicorn.run_loop(serve_and_ask(uvicorn.Server(config()))) == 200


def test_two_servers_in_one_loop():
    async def main():
        servers = [uvicorn.Server(config()) for _ in range(2)]
        return await asyncio.gather(*map(serve_and_ask, servers))

    assert uvicorn.run_loop(main()) == [200, 200]


def test_two_servers_hear_one_signal():
    former = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    heard = []

    async def main():
        servers = [uvicorn.Server(config()) for _ in range(2)]
        tasks = [asyncio.ensure_future(server.serve()) for server in servers]
        while not all(server.started for server in servers):
            await asyncio.sleep(0.001)
        signal.raise_signal(signal.SIGTERM)
        await asyncio.gather(*tasks)
        assert not any(server.force_exit for server in servers)

    signal.signal(signal.SIGTERM, lambda number, frame: heard.append(number))
    try:
        uvicorn.run_loop(main())
        assert signal.getsignal(signal.SIGINT) is former[0]
    finally:
        signal.signal(signal.SIGTERM, former[1])
    assert heard == [signal.SIGTERM]


def test_serve_on_given_sockets():
    async def main():
        made = config()
        sock = made.bind_socket()
        server = uvicorn.Server(made)
        task = asyncio.ensure_future(server.serve(sockets=[sock]))
        while not server.started:
            await asyncio.sleep(0.001)
        assert server.servers[0].sockets[0] is sock
        server.should_exit = True
        await task

    uvicorn.run_loop(main())


def test_serve_in_another_kind_of_loop():
    with pytest.raises(RuntimeError, match=r"its own event loop.*asgiserver\.run_loop\(main\(\)"):
        asyncio.run(uvicorn.Server(config()).serve())


def test_signal_handlers_are_put_back():
    def mine(number, frame):
        raise AssertionError("called")

    former = signal.signal(signal.SIGTERM, mine)
    try:
        uvicorn.run_loop(serve_and_ask(uvicorn.Server(config())))
        assert signal.getsignal(signal.SIGTERM) is mine
    finally:
        signal.signal(signal.SIGTERM, former)


def script(tmp_path, text: str):
    """A server process that runs a program of the user's."""
    path = tmp_path / "program.py"
    path.write_text(textwrap.dedent(text))
    parts = [str(HERE), os.environ.get("PYTHONPATH", ""), str(HERE.parents[1])]
    env = {"PYTHONPATH": os.pathsep.join(part for part in parts if part)}
    return casgi(command=(sys.executable, "-u", str(path)), env=env)


def test_run(tmp_path):
    program = """
        import asgiserver as uvicorn
        if __name__ == "__main__":
            uvicorn.run("process_apps:app", host="127.0.0.1", port=0, log_level="info",
                        reload=False, loop="uvloop", http="httptools")
            print("after run")
    """
    with script(tmp_path, program) as server:
        assert server.get().status_code == 200
        server.signal(signal.SIGINT)
        assert server.wait() == 0
        assert "after run" in server.log


def test_run_that_cannot_start(tmp_path):
    program = """
        import asgiserver
        asgiserver.run("process_apps:fails_to_start", port=0)
        print("after run")
    """
    with script(tmp_path, program) as server:
        assert server.wait() == 3
        assert "after run" not in server.log


def test_install_and_asyncio_run(tmp_path):
    program = """
        import asyncio, asgiserver as uvicorn
        async def main():
            config = uvicorn.Config("process_apps:app", port=0, log_level="info")
            await uvicorn.Server(config).serve()
        uvicorn.install()
        try:
            asyncio.run(main())
        except KeyboardInterrupt:
            print("interrupted")
    """
    with script(tmp_path, program) as server:
        assert server.get().status_code == 200
        server.signal(signal.SIGINT)
        assert server.wait() == 0
        assert "interrupted" in server.log
