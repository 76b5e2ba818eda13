from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from openautoglm._events import EVENT_BYTES_MAX, Event, Events

SENT = (
    ": a comment\n\n"
    'event: delta\ndata: {"text": "大促\u2028\x85\x0b"}\n\n'
    "data: no\r\ndata: name\r\n\r\n"
    "event: end\rdata: one\rdata:two\r\r"
    "event: nothing\n\n"
    "id: 7\ndata\n\n"
    "event: unfinished\ndata: x\n"
)
WANTED = [
    Event("delta", '{"text": "大促\u2028\x85\x0b"}'),
    Event("message", "no\nname"),
    Event("end", "one\ntwo"),
    Event("message", ""),
]


@given(st.lists(st.integers(0, len(SENT.encode())), max_size=30))
def test_events_are_the_same_however_they_are_cut(cuts: list[int]) -> None:
    content = SENT.encode()
    places = [0, *sorted(cuts), len(content)]
    reader = Events()
    got = [event for start, end in pairwise(places) for event in reader.take(content[start:end])]
    assert got == WANTED


def test_an_event_that_does_not_end_is_noticed() -> None:
    reader = Events()
    piece = b"data: " + b"x" * (EVENT_BYTES_MAX // 4) + b"\n"
    for _ in range(3):
        assert list(reader.take(piece)) == []
        assert not reader.endless
    for _ in range(2):
        assert list(reader.take(piece)) == []
    assert reader.endless
    reader = Events()
    assert list(reader.take(b"x" * (EVENT_BYTES_MAX + 1))) == []
    assert reader.endless
