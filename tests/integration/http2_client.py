# SPDX-License-Identifier: MIT
"""An HTTP/2 client that may break any rule: python-h2's frames over a plain socket."""

from __future__ import annotations

import contextlib
import dataclasses
import select
import socket
from collections.abc import Callable, Iterator
from typing import Any

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import hpack
from http_harness import TIMEOUT, App, Peer, Server, serve

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

GET = (
    (":method", "GET"),
    (":scheme", "http"),
    (":authority", "example.org"),
    (":path", "/"),
)


def request(path: str = "/", method: str = "GET", *more: tuple[str, str]) -> list[tuple[str, str]]:
    """The fields of a request."""
    changed = dict(GET) | {":method": method, ":path": path}
    return [*changed.items(), *more]


@dataclasses.dataclass
class Answer:
    """What came on a stream.

    Attributes:
        informational: heads before the last one.
        ended: by END_STREAM.
        reset: the code of a RST_STREAM.
    """

    status: int = 0
    headers: list[tuple[bytes, bytes]] = dataclasses.field(default_factory=list)
    informational: list[list[tuple[bytes, bytes]]] = dataclasses.field(default_factory=list)
    trailers: list[tuple[bytes, bytes]] | None = None
    body: bytes = b""
    ended: bool = False
    reset: int | None = None

    def __getitem__(self, name: bytes) -> bytes:
        return dict(self.headers)[name]


class Client:
    """One connection.

    Args:
        address: of the server.
        greet: whether the preface is sent at once.
        acknowledge: whether body bytes are acknowledged as they come.

    Attributes:
        answers: by stream.
        goaways: (last stream, code) of each GOAWAY.
        ended: the server has closed the connection.
    """

    def __init__(
        self,
        address: Any,
        *,
        greet: bool = True,
        acknowledge: bool = True,
        peer: Peer | None = None,
        **options: Any,
    ) -> None:
        self.peer = peer or Peer(address, **options)
        self.h2 = h2.connection.H2Connection(
            h2.config.H2Configuration(
                client_side=True,
                header_encoding=None,
                validate_outbound_headers=False,
                normalize_outbound_headers=False,
            )
        )
        self.acknowledge = acknowledge
        self.answers: dict[int, Answer] = {}
        self.goaways: list[tuple[int, int]] = []
        self.windows: list[tuple[int, int]] = []
        self.pings = 0
        self.ended = False
        if greet:
            self.h2.initiate_connection()
            self.flush()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.peer.sock.close()

    def flush(self) -> None:
        self.peer.send(self.h2.data_to_send())

    def raw(self, kind: int, flags: int, stream: int, payload: bytes = b"") -> None:
        """A frame that python-h2 need not agree to."""
        self.peer.send(frame(kind, flags, stream, payload))

    def open(
        self, path: str = "/", method: str = "GET", *more: tuple[str, str], end: bool = True
    ) -> int:
        """Sends a request's head; its stream."""
        return self.send_head(request(path, method, *more), end=end)

    def send_head(self, fields: list[tuple[str, str]], *, end: bool = True) -> int:
        stream = self.h2.get_next_available_stream_id()
        self.answers[stream] = Answer()
        self.h2.send_headers(stream, fields, end_stream=end)
        self.flush()
        return stream

    def data(self, stream: int, data: bytes, *, end: bool = False) -> None:
        """Sends body bytes, waiting for the server's windows."""
        while data or end:
            size = min(
                len(data),
                self.h2.local_flow_control_window(stream),
                self.h2.max_outbound_frame_size,
            )
            if size == 0 and data:
                self.step()
                continue
            last = end and size == len(data)
            self.h2.send_data(stream, data[:size], end_stream=last)
            self.flush()
            data = data[size:]
            if last or not (data or end):
                return

    def step(self) -> None:
        """Takes what the server sends next."""
        with contextlib.suppress(ConnectionResetError):
            data = self.peer.sock.recv(65536)
            if data:
                for event in self.h2.receive_data(data):
                    self.handle(event)
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    self.flush()
                return
        self.ended = True

    def handle(self, event: Any) -> None:
        answer = self.answers.setdefault(getattr(event, "stream_id", None) or 0, Answer())
        match event:
            case h2.events.ResponseReceived():
                fields = dict(event.headers)
                answer.status = int(fields[b":status"])
                answer.headers = [(bytes(n), bytes(v)) for n, v in event.headers if n[:1] != b":"]
            case h2.events.InformationalResponseReceived():
                answer.informational.append([(bytes(n), bytes(v)) for n, v in event.headers])
            case h2.events.TrailersReceived():
                answer.trailers = [(bytes(n), bytes(v)) for n, v in event.headers]
            case h2.events.DataReceived():
                answer.body += event.data
                if self.acknowledge and event.flow_controlled_length:
                    with contextlib.suppress(h2.exceptions.ProtocolError):
                        self.h2.acknowledge_received_data(
                            event.flow_controlled_length, event.stream_id
                        )
            case h2.events.StreamEnded():
                answer.ended = True
            case h2.events.StreamReset():
                answer.reset = int(event.error_code)
            case h2.events.WindowUpdated():
                self.windows.append((event.stream_id, event.delta))
            case h2.events.PingAckReceived():
                self.pings += 1
            case h2.events.ConnectionTerminated():
                self.goaways.append((event.last_stream_id, int(event.error_code)))

    def until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            assert not self.ended, f"closed; GOAWAY {self.goaways}"
            self.step()

    def answer(self, stream: int) -> Answer:
        """The whole answer, or as much as came before a reset."""
        answer = self.answers[stream]
        self.until(lambda: answer.ended or answer.reset is not None)
        return answer

    def ask(self, path: str = "/", method: str = "GET", *more: tuple[str, str]) -> Answer:
        return self.answer(self.open(path, method, *more))

    def post(self, path: str, body: bytes, *more: tuple[str, str]) -> Answer:
        stream = self.open(path, "POST", *more, end=False)
        self.data(stream, body, end=True)
        return self.answer(stream)

    def ping(self) -> None:
        """Waits until the server has read everything sent so far."""
        seen = self.pings
        self.h2.ping(b"12345678")
        self.flush()
        self.until(lambda: self.pings > seen)

    def rest(self) -> None:
        """Takes everything until the server closes."""
        while not self.ended:
            self.step()


DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS = range(5)
PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(6, 10)
END_STREAM, END_HEADERS, ACK = 1, 4, 1


def frame(kind: int, flags: int = 0, stream: int = 0, payload: bytes = b"") -> bytes:
    head = len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big")
    return head + payload


def split(data: bytes) -> list[tuple[int, int, int, bytes]]:
    """(kind, flags, stream, payload) of each whole frame in data."""
    frames = []
    while len(data) >= 9 and len(data) >= (end := 9 + int.from_bytes(data[:3], "big")):
        frames.append((data[3], data[4], int.from_bytes(data[5:9], "big"), data[9:end]))
        data = data[end:]
    return frames


class Frames:
    """A connection without a protocol: frames are written as they are, and noted as they come.

    Attributes:
        got: (kind, flags, stream, payload) of each frame from the server.
        ended: the server has closed the connection.
    """

    def __init__(self, address: Any, *, settle: bool = True) -> None:
        self.peer = Peer(address)
        self.encoder = hpack.Encoder()
        self.got: list[tuple[int, int, int, bytes]] = []
        self.buffer = b""
        self.ended = False
        self.send(PREFACE + frame(SETTINGS))
        if settle:
            self.until(SETTINGS)
            self.send(frame(SETTINGS, ACK))

    def __enter__(self) -> Frames:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.peer.sock.close()

    def send(self, data: bytes) -> None:
        """Sends, and takes what comes meanwhile. Nothing happens once the server has closed."""
        sock = self.peer.sock
        while data and not self.ended:
            readable, writable, _ = select.select([sock], [sock], [], TIMEOUT)
            assert readable or writable, "the server neither reads nor writes"
            if readable:
                self.read()
            elif writable:
                try:
                    data = data[sock.send(data, socket.MSG_DONTWAIT) :]
                except ConnectionError:
                    self.ended = True

    def read(self) -> None:
        try:
            data = self.peer.sock.recv(65536)
        except ConnectionResetError:
            data = b""
        self.ended = not data
        self.buffer += data
        frames = split(self.buffer)
        self.buffer = self.buffer[sum(9 + len(payload) for *_, payload in frames) :]
        self.got += frames

    def open(self, stream: int, path: str = "/", *, flags: int = END_STREAM | END_HEADERS) -> None:
        self.send(frame(HEADERS, flags, stream, self.encoder.encode(request(path))))

    def until(self, kind: int, stream: int = 0) -> bytes:
        """The payload of the first frame of a kind on a stream."""
        while True:
            for frame in self.got:
                if frame[0] == kind and frame[2] == stream:
                    return frame[3]
            assert not self.ended, f"closed after {self.got!r}"
            self.read()

    def end(self) -> int:
        """Takes everything until the server closes; the code of its last GOAWAY, -1 without."""
        while not self.ended:
            self.read()
        codes = [int.from_bytes(frame[3][4:8], "big") for frame in self.got if frame[0] == GOAWAY]
        return codes[-1] if codes else -1


@contextlib.contextmanager
def serve2(app: App, **config: Any) -> Iterator[tuple[Server, Client]]:
    """A server that speaks HTTP/2 too, and a client of it."""
    with serve(app, http2=True, **config) as server:
        with Client(server.address) as client:
            yield server, client
