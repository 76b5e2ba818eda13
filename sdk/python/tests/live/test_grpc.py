"""A node that is not ours: a session over gRPC, with the framework's own client."""

from __future__ import annotations

import json
import os
import queue
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import grpc  # type: ignore[import-untyped]
import pytest

pytestmark = pytest.mark.live

METHOD = "/openautoglm.node.v1.NodeService/Session"
PATIENCE_S = 30.0


def frame(message: dict[str, Any]) -> bytes:
    """Field 1 with a length before it, written by hand: nothing of the product makes this."""
    text = json.dumps(message).encode()
    length, left = bytearray(), len(text)
    while left > 0x7F:
        length.append(left & 0x7F | 0x80)
        left >>= 7
    return b"\x0a" + bytes([*length, left]) + text


def message(data: bytes) -> dict[str, Any]:
    assert data[0] == 0x0A
    length, at, shift = 0, 1, 0
    while True:
        length |= (data[at] & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if not data[at - 1] & 0x80:
            break
    assert len(data) == at + length
    said: dict[str, Any] = json.loads(data[at:])
    return said


class Session:
    """One stream of frames, both ways."""

    def __init__(self, channel: grpc.Channel) -> None:
        self._told: queue.Queue[bytes | None] = queue.Queue()
        # Without serializers, messages are bytes.
        method = channel.stream_stream(METHOD)
        self.call = method(iter(self._told.get, None), timeout=PATIENCE_S)

    def tell(self, said: dict[str, Any]) -> None:
        self._told.put(frame(said))

    def hear(self) -> dict[str, Any]:
        return message(next(self.call))

    def end(self) -> list[dict[str, Any]]:
        self._told.put(None)
        return [message(data) for data in self.call]


@pytest.fixture
def channel() -> Iterator[grpc.Channel]:
    url = os.environ.get("OPENAUTOGLM_URL")
    if not url:
        pytest.fail("set OPENAUTOGLM_URL: these tests need a running server", pytrace=False)
    options = [("grpc.enable_http_proxy", 0)]
    with grpc.insecure_channel(urlsplit(url).netloc, options) as channel:
        yield channel


def test_a_node_says_hello_and_is_heard(channel: grpc.Channel) -> None:
    session = Session(channel)
    session.tell({"node_id": "python-1", "heartbeat_interval": 1000})
    welcome = session.hear()
    assert welcome["type"] == "welcome"
    assert welcome["protocol"] == 1
    assert welcome["kept"] == []
    for _ in range(3):
        session.tell({"type": "heartbeat", "load": {"cpu": 0.25}})
        assert session.hear() == {"type": "heard"}
    session.tell({"type": "bye"})
    assert session.end() == []
    assert session.call.code() is grpc.StatusCode.OK


def test_what_is_no_hello_is_answered_with_the_reason(channel: grpc.Channel) -> None:
    session = Session(channel)
    session.tell({"mood": "fine"})
    refusal = session.hear()
    assert refusal["type"] == "close"
    assert refusal["again"] is False
    assert "must be a registration" in refusal["reason"]
    assert session.end() == []


def test_a_session_of_a_newer_connection_ends_the_older_one(channel: grpc.Channel) -> None:
    older = Session(channel)
    older.tell({"node_id": "python-2"})
    assert older.hear()["type"] == "welcome"
    newer = Session(channel)
    newer.tell({"node_id": "python-2"})
    assert newer.hear()["type"] == "welcome"
    reason = "the node has opened another session"
    assert older.hear() == {"type": "close", "reason": reason, "again": False}
    newer.tell({"type": "heartbeat"})
    assert newer.hear() == {"type": "heard"}
    newer.end()


def test_browsers_and_what_was_passed_on_are_kept_out(channel: grpc.Channel) -> None:
    for name in ("origin", "x-forwarded-for", "via"):
        method = channel.stream_stream(METHOD)
        call = method(iter([frame({"node_id": "x"})]), metadata=[(name, "x")], timeout=PATIENCE_S)
        with pytest.raises(grpc.RpcError):
            next(call)
        assert call.code() is grpc.StatusCode.PERMISSION_DENIED, name
