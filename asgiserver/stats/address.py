# SPDX-License-Identifier: MIT
"""The address that ``--stats`` gives. Imports nothing, as every Config asks it."""

from __future__ import annotations


def parse_address(text: str) -> tuple[str, int] | str:
    """The address that --stats gives: a port, HOST:PORT, or unix:PATH.

    Returns:
        host and port, the host a loopback address where only a port was given; or a path.

    Raises:
        ValueError: it is none of them.
    """
    if text.startswith("unix:"):
        if len(text) == len("unix:"):
            raise ValueError("stats: unix: needs a path")
        return text[len("unix:") :]
    host, _, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ValueError(f"stats: an IPv6 address belongs in brackets: [{host}]:{port}")
    if not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ValueError(f"stats must be PORT, HOST:PORT or unix:PATH, not {text!r}")
    return host or "127.0.0.1", int(port)
