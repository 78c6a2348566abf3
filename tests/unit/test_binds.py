# SPDX-License-Identifier: MIT
"""asgiserver.binds: the values of --bind, and the sockets that come of them."""

from __future__ import annotations

import os
import socket
import stat
from contextlib import ExitStack

import pytest

from asgiserver import Config, StartupError
from asgiserver.binds import (
    Activated,
    Descriptor,
    Tcp,
    Unix,
    addresses,
    is_shared_port,
    own_copies,
    parse,
    parse_mode,
    socket_files,
)


def config(**settings) -> Config:
    return Config("m:app", log_config=None, **settings)


@pytest.fixture
def opened():
    """Closes the sockets that a test has put in."""
    with ExitStack() as stack:
        yield lambda sockets: [stack.enter_context(sock) for sock in sockets]


@pytest.mark.parametrize(
    ("text", "bind"),
    [
        ("127.0.0.1:80", Tcp("127.0.0.1", 80)),
        ("localhost:0", Tcp("localhost", 0)),
        ("example.org", Tcp("example.org", 8000)),
        (":9000", Tcp("", 9000)),
        ("[::1]:80", Tcp("::1", 80)),
        ("[::]", Tcp("::", 8000)),
        ("[fe80::1%eth0]:80", Tcp("fe80::1%eth0", 80)),
        ("tcp://0.0.0.0:81", Tcp("0.0.0.0", 81)),
        ("unix:/run/app.sock", Unix("/run/app.sock")),
        ("unix:///run/app.sock", Unix("/run/app.sock")),
        ("unix:app.sock", Unix("app.sock")),
        ("fd://3", Descriptor(3)),
        ("systemd", Activated("")),
        ("systemd:http", Activated("http")),
    ],
)
def test_values(text, bind):
    assert parse(text) == bind


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("8000", "':8000' stands for all"),
        ("", "no host"),
        ("::1:8000", "in brackets"),
        ("::", "in brackets"),
        ("[::1]8000", "not HOST:PORT"),
        ("[]:8000", "not HOST:PORT"),
        ("host:http", "not HOST:PORT"),
        ("host:65536", "not HOST:PORT"),
        ("host:-1", "not HOST:PORT"),
        ("host:80/path", "not HOST:PORT"),
        ("http://host:80", "neither tcp://"),
        ("fd://x", "neither tcp://"),
        ("unix:", "path of the socket is missing"),
    ],
)
def test_no_values(text, why):
    with pytest.raises(ValueError, match=why):
        config(bind=text)


@pytest.mark.parametrize(
    ("mode", "number"), [("660", 0o660), ("0o600", 0o600), (0o640, 0o640), ("0", 0), (None, None)]
)
def test_modes(mode, number):
    assert parse_mode(mode) == number


@pytest.mark.parametrize("mode", ["888", "rw", "1777", 0o1000, -1])
def test_no_modes(mode):
    with pytest.raises(ValueError, match="uds_permissions"):
        config(uds_permissions=mode)


@pytest.mark.parametrize("other", [{"port": 80}, {"host": "::1"}, {"uds": "/s"}, {"fd": 3}])
def test_two_ways_to_say_it(other):
    with pytest.raises(ValueError, match="bind excludes"):
        config(bind=[":80"], **other)
    config(bind=[":80"], host="127.0.0.1", port=8000)


def test_several(tmp_path, opened):
    path = str(tmp_path / "s")
    made = config(bind=["127.0.0.1:0", f"unix:{path}", "127.0.0.2:0"], uds_permissions="600")
    sockets = opened(made.bind_sockets())
    assert [sock.family for sock in sockets] == [socket.AF_INET, socket.AF_UNIX, socket.AF_INET]
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert socket_files(made) == [(path, os.stat(path).st_ino)]
    ports = [sock.getsockname()[1] for sock in sockets]
    assert addresses(sockets, secure=True) == [
        f"https://127.0.0.1:{ports[0]}",
        f"unix socket {path}",
        f"https://127.0.0.2:{ports[2]}",
    ]


def test_one_failure_closes_all(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        free = config(bind="127.0.0.2:0").bind_socket()
        number = free.getsockname()[1]
        free.close()
        made = config(bind=[f"127.0.0.2:{number}", f"127.0.0.1:{port}"])
        with pytest.raises(StartupError, match="Address already in use"):
            made.bind_sockets()
        config(bind=f"127.0.0.2:{number}").bind_socket().close()


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="no IPv6 here")
class TestIPv6:
    def test_all_addresses_is_a_socket_for_each_family(self, opened):
        sockets = opened(config(bind=":0").bind_sockets())
        assert {sock.family for sock in sockets} == {socket.AF_INET, socket.AF_INET6}
        assert len({sock.getsockname()[1] for sock in sockets}) == 1

    def test_wildcard_in_brackets_is_ipv6_only(self, opened):
        (sock,) = opened(config(bind="[::]:0").bind_sockets())
        assert sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY) == 1
        opened(config(bind=f"0.0.0.0:{sock.getsockname()[1]}").bind_sockets())

    def test_loopback(self, opened):
        (sock,) = opened(config(bind="[::1]:0").bind_sockets())
        assert addresses([sock], secure=False) == [f"http://[::1]:{sock.getsockname()[1]}"]


class TestReusePort:
    def test_own_copies(self, tmp_path, opened):
        made = config(bind=["127.0.0.1:0", f"unix:{tmp_path / 's'}"], reuse_port=True)
        common = opened(made.bind_sockets())
        one, two = opened(own_copies(common)[:1]), opened(own_copies(common)[:1])
        assert {s.getsockname() for s in one + two} == {common[0].getsockname()}
        assert len({s.fileno() for s in one + two + common}) == 4
        assert own_copies(common[1:]) == common[1:], "a socket file has one socket"

    def test_what_listens_already_stays_common(self, opened):
        common = opened(config(port=0, reuse_port=True).bind_sockets())
        assert is_shared_port(common[0])
        common[0].listen()
        assert own_copies(common) == common

    def test_only_when_asked_for(self, opened):
        common = opened(config(port=0).bind_sockets())
        assert not is_shared_port(common[0])
        common[0].listen()
        with pytest.raises(StartupError, match="already in use"):
            config(port=common[0].getsockname()[1], reuse_port=True).bind_sockets()
