"""Metrics as JSON carries them.

JSON has no NaN and no infinity: they become null, as do None and the missing values of numpy and
pandas. Neither is imported; what they hand out is recognised by its behaviour.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from typing import Any, Protocol, SupportsIndex, TypeAlias, runtime_checkable

Number: TypeAlias = int | float | None

# Above this a double does not hold every integer, and the server reads doubles.
_EXACT_MAX = 2**53


@runtime_checkable
class SupportsToList(Protocol):
    """An array, such as numpy's and pandas'."""

    def tolist(self) -> Any:
        """The values as a list."""
        ...


@runtime_checkable
class SupportsItems(Protocol):
    """Names with series, such as a dict or a pandas DataFrame."""

    def items(self) -> Iterable[tuple[Any, Any]]:
        """The pairs."""
        ...


Series: TypeAlias = Iterable[Any] | SupportsToList
Metrics: TypeAlias = Mapping[str, Any] | SupportsItems


def metrics_json(metrics: Metrics) -> dict[str, list[Number]]:
    """Every series as a list of numbers and nulls.

    Raises:
        TypeError: A name is no text, or a value is no number; says which.
    """
    if not isinstance(metrics, SupportsItems):
        raise TypeError(f"metrics: expected names with series, got {_type(metrics)}")
    series: dict[str, list[Number]] = {}
    for name, values in metrics.items():
        if not isinstance(name, str):
            raise TypeError(f"metrics: expected a text as name, got {name!r}")
        series[name] = series_json(values, f"metrics[{name!r}]")
    return series


def series_json(values: Series, field: str) -> list[Number]:
    """One series as a list of numbers and nulls.

    Raises:
        TypeError: It is no series, or a value is no number; says which.
    """
    listed = values.tolist() if isinstance(values, SupportsToList) else values
    unordered = isinstance(listed, str | bytes | bytearray | Mapping | set | frozenset)
    if unordered or not isinstance(listed, Iterable):
        raise TypeError(f"{field}: expected a series of numbers, got {_type(values)}")
    return [number_json(value, field, at) for at, value in enumerate(listed)]


def number_json(value: Any, field: str, at: int | None = None) -> Number:
    """One value; null where there is no finite number.

    Raises:
        TypeError: It is no number.
    """
    if type(value) is float:  # what most values are
        return value if math.isfinite(value) else None
    if _is_missing(value):
        return None
    try:
        if isinstance(value, str | bytes | bytearray):
            raise TypeError  # noqa: TRY301 - float() would read a text
        number = float(value)
    except OverflowError:
        return None
    except (TypeError, ValueError):
        place = field if at is None else f"{field}[{at}]"
        raise TypeError(f"{place}: expected a number or None, got {_type(value)}") from None
    if not math.isfinite(number):
        return None
    if isinstance(value, int) and abs(value) <= _EXACT_MAX:
        return int(value)
    return number


def integer_json(value: SupportsIndex | None, field: str) -> int | None:
    """A whole number, numpy's too.

    Raises:
        TypeError: It is none.
    """
    if value is None:
        return None
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(f"{field}: expected a whole number, got {_type(value)}") from None


def tokens_json(tokens: Iterable[SupportsIndex] | SupportsToList, field: str) -> list[int]:
    """Tokens as a list of whole numbers.

    Raises:
        TypeError: They are none; says which.
        ValueError: One is below 0.
    """
    listed = tokens.tolist() if isinstance(tokens, SupportsToList) else tokens
    unordered = isinstance(listed, str | bytes | bytearray | Mapping | set | frozenset)
    if unordered or not isinstance(listed, Iterable):
        raise TypeError(f"{field}: expected tokens, got {_type(tokens)}")
    numbers = []
    for at, token in enumerate(listed):
        number = integer_json(token, f"{field}[{at}]")
        if number is None:
            raise TypeError(f"{field}[{at}]: expected a whole number, got NoneType")
        if number < 0:
            raise ValueError(f"{field}[{at}]: {number} is below 0")
        numbers.append(number)
    return numbers


def features_json(features: Series, field: str) -> list[Any]:
    """One row of numbers, or a list of rows.

    Raises:
        TypeError: They are neither; says which.
        ValueError: One is no finite number; says which.
    """
    listed = features.tolist() if isinstance(features, SupportsToList) else features
    unordered = isinstance(listed, str | bytes | bytearray | Mapping | set | frozenset)
    if unordered or not isinstance(listed, Iterable):
        raise TypeError(f"{field}: expected numbers or rows of numbers, got {_type(features)}")
    found: list[Any] = []
    for at, item in enumerate(listed):
        plain = item.tolist() if isinstance(item, SupportsToList) else item
        if isinstance(plain, Iterable) and not isinstance(plain, str | bytes | bytearray):
            row = series_json(plain, f"{field}[{at}]")
            _all_there(row, f"{field}[{at}]")
            found.append(row)
        else:
            found.append(number_json(plain, field, at))
    _all_there(found, field)
    return found


def _all_there(row: list[Any], field: str) -> None:
    for at, number in enumerate(row):
        if number is None:
            raise ValueError(f"{field}[{at}]: expected a finite number")


def time_json(value: datetime | int | str, field: str) -> int | str:
    """A moment: RFC 3339, or milliseconds since 1970.

    Raises:
        TypeError: It is no moment.
        ValueError: It has no time zone, so nobody knows which moment it is.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, datetime):
        if value.utcoffset() is None:
            raise ValueError(f"{field}: {value.isoformat()} has no time zone")
        utc = value.astimezone(timezone.utc).replace(tzinfo=None)
        return f"{utc.isoformat(timespec='milliseconds')}Z"
    try:
        return operator.index(value)
    except TypeError:
        wanted = "a datetime, RFC 3339 text or milliseconds"
        raise TypeError(f"{field}: expected {wanted}, got {_type(value)}") from None


def _is_missing(value: Any) -> bool:
    # pandas.NA answers no comparison, and decimal's signalling NaN no conversion.
    if value is None or type(value).__name__ in {"NAType", "NaTType", "MaskedConstant"}:
        return True
    is_nan = getattr(value, "is_nan", None)
    return bool(callable(is_nan) and is_nan())


def _type(value: object) -> str:
    return type(value).__name__
