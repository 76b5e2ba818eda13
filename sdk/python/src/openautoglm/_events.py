"""Server-sent events, read from pieces of any size."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

# What is not an event yet is kept, and a server that never ends one would fill the memory.
EVENT_BYTES_MAX = 8 * 2**20


class Event(NamedTuple):
    """One event."""

    name: str
    data: str


class Events:
    """The events of one answer."""

    def __init__(self) -> None:
        self._rest = b""
        self._name = ""
        self._data: list[bytes] = []
        self._bytes = 0

    @property
    def endless(self) -> bool:
        """Whether an event has become longer than anything this server sends."""
        return len(self._rest) + self._bytes > EVENT_BYTES_MAX

    def take(self, piece: bytes) -> Iterator[Event]:
        """The events that are complete with this piece."""
        # Unlike texts, bytes are split at line feeds and carriage returns only.
        lines = (self._rest + piece).splitlines(keepends=True)
        # A carriage return at the end may be half of a line's end.
        self._rest = lines.pop() if lines and not lines[-1].endswith(b"\n") else b""
        for line in lines:
            event = self._line(line.rstrip(b"\r\n"))
            if event is not None:
                yield event

    def _line(self, line: bytes) -> Event | None:
        if not line:
            name, data = self._name or "message", b"\n".join(self._data)
            dispatched = bool(self._data)
            self._name, self._data, self._bytes = "", [], 0
            return Event(name, data.decode("utf-8", "replace")) if dispatched else None
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"event":
            self._name = value.decode("utf-8", "replace")
        elif field == b"data":
            self._data.append(value)
            self._bytes += len(value)
        return None
