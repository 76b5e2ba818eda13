"""`langchain-openai`, as it is published."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAI, OpenAIEmbeddings
from pydantic import BaseModel, SecretStr

from conftest import MODEL, Site


class Stock(BaseModel):
    """How much there is."""

    city: str
    count: int


@tool
def weather(city: str) -> str:
    """The weather of a city."""
    return f"rain in {city}"


@pytest.fixture
def chat(site: Site) -> ChatOpenAI:
    return ChatOpenAI(
        model=MODEL, base_url=site.base_url, api_key=SecretStr(site.key), max_retries=0
    )


def test_a_conversation(chat: ChatOpenAI) -> None:
    answer = chat.invoke("count", max_tokens=3)
    assert answer.content == "0 1 2 "
    assert answer.usage_metadata is not None
    assert answer.usage_metadata["output_tokens"] == 3


def test_a_stream(chat: ChatOpenAI) -> None:
    parts = list(chat.stream("count", max_tokens=3, stream_usage=True))
    assert "".join(str(part.content) for part in parts) == "0 1 2 "
    assert sum(bool(part.usage_metadata) for part in parts) == 1


def test_a_call(chat: ChatOpenAI) -> None:
    answer = chat.bind_tools([weather], tool_choice="weather").invoke("weather?")
    (call,) = answer.tool_calls
    assert (call["name"], call["args"]) == ("weather", {"city": "上海"})


def test_a_form(chat: ChatOpenAI) -> None:
    found: Any = chat.with_structured_output(Stock, method="json_schema").invoke("stock?")
    assert found == Stock(city="上海", count=3)


def test_plain_text(site: Site) -> None:
    model = OpenAI(model=MODEL, base_url=site.base_url, api_key=SecretStr(site.key), max_tokens=2)
    assert model.invoke("count") == "0 1 "


def test_vectors(site: Site) -> None:
    embeddings = OpenAIEmbeddings(
        model=MODEL,
        base_url=site.base_url,
        api_key=SecretStr(site.key),
        # Else texts are cut into tokens of a model of OpenAI's.
        check_embedding_ctx_length=False,
    )
    assert embeddings.embed_documents(["abc", "d"]) == [[3.0, 0.25], [1.0, 0.25]]
