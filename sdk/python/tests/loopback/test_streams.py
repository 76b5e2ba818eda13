"""Answers in pieces over real sockets."""

from __future__ import annotations

import asyncio
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any

import pytest

from openautoglm import AsyncAutoClient, AutoClient, ConnectionFailed, Timeout
from support import KEY, Client, Server, events, hangs

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def chunk(content: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(content), content)


def writes(left: threading.Event) -> Callable[[Any], None]:
    """Writes pieces until nobody reads them; then says so."""

    def step(handler: Any) -> None:
        handler.close_connection = True
        handler.wfile.write(HEAD)
        try:
            while not handler.server.over.wait(0.01):
                handler.wfile.write(chunk(events(("delta", {"text": "w"}))))
        except OSError:
            left.set()

    return step


def test_leaving_the_loop_closes_the_connection(server: Server) -> None:
    left = threading.Event()
    server.steps = [writes(left)]
    with AutoClient(KEY, server.url) as client:
        for delta in client.generate_stream("glm", "x"):
            assert delta.text == "w"
            break
        assert left.wait(10)


def test_leaving_the_block_closes_the_connection(server: Server) -> None:
    left = threading.Event()
    server.steps = [writes(left)]
    with AutoClient(KEY, server.url) as client:
        with client.generate_stream("glm", "x") as stream:
            assert next(stream).text == "w"
            assert not left.wait(0.2)
        assert left.wait(10)
        assert stream.end is None
        assert list(stream) == []


@pytest.mark.parametrize("tidy", [True, False])
def test_leaving_closes_the_connection_of_asyncio(server: Server, tidy: bool) -> None:
    left = threading.Event()
    server.steps = [writes(left)]

    async def use() -> bool:
        async with AsyncAutoClient(KEY, server.url) as client:
            if tidy:
                async with client.generate_stream("glm", "x") as stream:
                    assert (await anext(stream)).text == "w"
            else:
                async for delta in client.generate_stream("glm", "x"):
                    assert delta.text == "w"
                    break
            return await asyncio.to_thread(left.wait, 10)

    assert asyncio.run(use())


def test_a_cancelled_task_closes_the_connection(server: Server) -> None:
    left = threading.Event()
    server.steps = [writes(left)]

    async def use() -> bool:
        async with AsyncAutoClient(KEY, server.url) as client:
            begun = asyncio.Event()

            async def read() -> None:
                async for _ in client.generate_stream("glm", "x"):
                    begun.set()

            reading = asyncio.ensure_future(read())
            await asyncio.wait_for(begun.wait(), 10)
            reading.cancel()
            return await asyncio.to_thread(left.wait, 10)

    assert asyncio.run(use())


def test_pieces_are_there_as_soon_as_they_are_sent(server: Server) -> None:
    read = threading.Event()
    in_time: list[bool] = []

    def step(handler: Any) -> None:
        first, second = events(("delta", {"text": "大"})), events(("end", {"finish": "stop"}))
        handler.wfile.write(HEAD + chunk(first[:-4]) + chunk(first[-4:]))
        in_time.append(read.wait(10))
        handler.wfile.write(chunk(second) + b"0\r\n\r\n")

    server.steps = [step]
    with AutoClient(KEY, server.url) as client, client.generate_stream("glm", "x") as stream:
        assert next(stream).text == "大"
        read.set()
        assert list(stream) == []
        assert stream.end is not None
    assert in_time == [True]


def test_an_answer_that_is_cut_failed(kind: str, server: Server) -> None:
    def step(handler: Any) -> None:
        handler.close_connection = True
        handler.wfile.write(HEAD + chunk(events(("delta", {"text": "w"}))) + b"50\r\neve")

    server.steps = [step]
    with Client(kind, base_url=server.url) as client:
        with pytest.raises(ConnectionFailed) as raised:
            client.list("generate_stream", "glm", "x")
        told = traceback.TracebackException.from_exception(raised.value, capture_locals=True)
        assert KEY not in "".join(told.format())
        assert raised.value.__context__ is None
        # What was read already is not asked for again.
        assert (len(server.seen), client.waits) == (1, [])


def test_an_answer_that_stops_times_out(kind: str, server: Server) -> None:
    def step(handler: Any) -> None:
        handler.wfile.write(HEAD + chunk(events(("delta", {"text": "w"}))))
        hangs(handler)

    server.steps = [step]
    began = time.monotonic()
    with Client(kind, base_url=server.url) as client:
        with pytest.raises(Timeout, match=r"within 0\.2 s"):
            client.list("generate_stream", "glm", "x", timeout=0.2)
    assert time.monotonic() - began < 5
