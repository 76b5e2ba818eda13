"""Metrics on their way to JSON, with numpy and pandas as they are."""

from __future__ import annotations

import array
import importlib
import json
import math
import subprocess
import sys
from collections import deque
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from openautoglm import AutoClient
from openautoglm._values import integer_json, metrics_json, series_json, time_json
from support import ANSWER, KEY

np: Any = importlib.import_module("numpy")
pd: Any = importlib.import_module("pandas")

NAN, INF = math.nan, math.inf

numbers = st.none() | st.floats() | st.integers() | st.booleans() | st.decimals() | st.fractions()


def check(values: Any, expected: list[Any]) -> None:
    series = series_json(values, "m")
    assert series == expected
    json.dumps(series, allow_nan=False)


@pytest.mark.parametrize(
    "values",
    [
        lambda: [1.5, NAN, None, INF, -INF, 2],
        lambda: (1.5, NAN, None, INF, -INF, 2),
        lambda: deque([1.5, NAN, None, INF, -INF, 2]),
        lambda: (value for value in [1.5, NAN, None, INF, -INF, 2]),
        lambda: np.array([1.5, NAN, NAN, INF, -INF, 2]),
        lambda: np.array([1.5, NAN, None, INF, -INF, 2], dtype=object),
        lambda: [np.float64(1.5), np.float32(NAN), pd.NA, np.inf, -np.inf, np.int64(2)],
        lambda: np.ma.masked_invalid([1.5, NAN, NAN, INF, -INF, 2]),
        lambda: pd.Series([1.5, NAN, None, INF, -INF, 2]),
        lambda: pd.Series([1.5, None, pd.NA, INF, -INF, 2], dtype="object"),
        lambda: pd.Series([1.5, NAN, pd.NaT, INF, -INF, 2], dtype="object"),
        lambda: array.array("d", [1.5, NAN, NAN, INF, -INF, 2]),
        lambda: [Decimal("1.5"), Decimal("NaN"), Decimal("sNaN"), INF, -INF, Fraction(2)],
        lambda: [1.5, np.ma.masked, None, Decimal("Infinity"), -(10**400), 2],
    ],
)
def test_what_is_no_number_becomes_null(values: Callable[[], Any]) -> None:
    check(values(), [1.5, None, None, None, None, 2])


def test_kinds_of_numbers() -> None:
    check(pd.Series([1, pd.NA, 3], dtype="Int64"), [1, None, 3])
    check(np.array([1, 2], dtype=np.int8), [1, 2])
    check(np.array([True, False]), [1, 0])
    check(np.array([0.5], dtype=np.float16), [0.5])
    check(range(3), [0, 1, 2])
    check([], [])
    check(np.array([]), [])
    check([2**53, 10**300], [2**53, 1e300])
    check([0.1, -0.0, 5e-324], [0.1, -0.0, 5e-324])


def test_integers_stay_integers() -> None:
    assert json.dumps(series_json([1200, True, 1.0], "m")) == "[1200, 1, 1.0]"


def test_a_frame_is_names_with_series() -> None:
    frame = pd.DataFrame({"cpu_usage": [95, NAN], "error_rate": [0.05, 0.12]})
    assert metrics_json(frame) == {"cpu_usage": [95, None], "error_rate": [0.05, 0.12]}


@pytest.mark.parametrize(
    ("metrics", "message"),
    [
        ([1, 2], "metrics: expected names with series, got list"),
        ({1: [1]}, "metrics: expected a text as name, got 1"),
        ({"m": 1}, "metrics['m']: expected a series of numbers, got int"),
        ({"m": None}, "metrics['m']: expected a series of numbers, got NoneType"),
        ({"m": "95"}, "metrics['m']: expected a series of numbers, got str"),
        ({"m": b"95"}, "metrics['m']: expected a series of numbers, got bytes"),
        ({"m": {1: 2}}, "metrics['m']: expected a series of numbers, got dict"),
        ({"m": {1, 2}}, "metrics['m']: expected a series of numbers, got set"),
        ({"m": np.float64(1)}, "metrics['m']: expected a series of numbers, got float64"),
        ({"m": np.array(1)}, "metrics['m']: expected a series of numbers, got ndarray"),
        ({"m": np.zeros((2, 2))}, "metrics['m'][0]: expected a number or None, got list"),
        ({"m": [1, "95"]}, "metrics['m'][1]: expected a number or None, got str"),
        ({"m": [1j]}, "metrics['m'][0]: expected a number or None, got complex"),
        ({"m": [1, datetime(2026, 1, 1)]}, "metrics['m'][1]: expected a number or None, got dat"),
    ],
)
def test_errors_name_the_place(metrics: Any, message: str) -> None:
    with pytest.raises(TypeError) as raised:
        metrics_json(metrics)
    assert str(raised.value).startswith(message)


@given(st.dictionaries(st.text(), st.lists(numbers), max_size=5))
def test_any_numbers_of_any_lengths_become_strict_json(metrics: dict[str, list[Any]]) -> None:
    sent: list[bytes] = []

    def handler(request: httpx.Request) -> httpx.Response:
        sent.append(request.content)
        return httpx.Response(200, json=ANSWER)

    with AutoClient(KEY, transport=httpx.MockTransport(handler)) as client:
        client.analyze(metrics=metrics)

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    body = json.loads(sent[0], parse_constant=refuse)["metrics"]
    assert {name: len(series) for name, series in body.items()} == {
        name: len(series) for name, series in metrics.items()
    }
    for name, series in metrics.items():
        for value, got in zip(series, body[name], strict=True):
            assert got == number(value) or got is number(value)


def number(value: Any) -> float | None:
    """The same by another way: through text where that is possible."""
    try:
        finite = None if value is None else float(value)
    except (OverflowError, ValueError):
        return None
    return finite if finite is not None and abs(finite) < INF else None


def test_huge_metrics_are_sent_whole() -> None:
    sizes: list[int] = []

    def handler(request: httpx.Request) -> httpx.Response:
        sizes.append(len(json.loads(request.content)["metrics"]["cpu_usage"]))
        return httpx.Response(200, json=ANSWER)

    with AutoClient(KEY, transport=httpx.MockTransport(handler)) as client:
        client.analyze(metrics={"cpu_usage": np.random.default_rng(7).normal(size=500_000)})
    assert sizes == [500_000]


def test_whole_numbers() -> None:
    assert integer_json(np.int64(4), "replicas") == 4
    assert integer_json(None, "replicas") is None
    for wrong in (4.0, "4", [4]):
        with pytest.raises(TypeError, match="replicas: expected a whole number"):
            integer_json(wrong, "replicas")  # type: ignore[arg-type]


def test_moments() -> None:
    china = timezone(timedelta(hours=8))
    at = datetime(2026, 11, 21, 8, 0, 0, 123456, tzinfo=china)
    assert time_json(at, "at") == "2026-11-21T00:00:00.123Z"
    assert time_json(pd.Timestamp(at), "at") == "2026-11-21T00:00:00.123Z"
    assert time_json(np.int64(1_790_000_000_000), "at") == 1_790_000_000_000
    assert time_json("2026-11-21T08:00:00Z", "at") == "2026-11-21T08:00:00Z"
    with pytest.raises(ValueError, match="no time zone"):
        time_json(datetime(2026, 1, 1), "at")
    with pytest.raises(TypeError, match="expected a datetime"):
        time_json(1.5, "at")  # type: ignore[arg-type]


def test_neither_numpy_nor_pandas_is_imported() -> None:
    code = "import sys, openautoglm; print({'numpy', 'pandas'} & set(sys.modules))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "set()"
