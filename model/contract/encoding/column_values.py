"""Raw values of a column, checked: which Python and numpy types each kind of field takes.

Strict on purpose: "3" is not a number, 3 is not a category, and a bool is neither. `encoder.py`
encodes the checked values.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.contract.errors import ValueRejected

RawValues = Sequence[Any] | NDArray[Any]

# Looking at the set of types is several times cheaper than looking at each value.
_NUMBERS = frozenset({int, float, type(None), np.float64, np.float32})
_STRINGS = frozenset({str, type(None), np.str_})
_STRING_LISTS = frozenset({list, tuple, np.ndarray, type(None)})


def numeric_column(name: str, values: RawValues) -> NDArray[np.float64]:
    """(n,) float64 with NaN for a gap; raises ValueRejected for what is not a number."""
    if isinstance(values, np.ndarray) and values.dtype != object:
        if values.dtype.kind not in "iuf":
            raise ValueRejected(field=name, rule=f"takes numbers or null, not {values.dtype}")
        return values.astype(np.float64)
    for kind in set(map(type, values)) - _NUMBERS:
        if not issubclass(kind, (np.integer, np.floating)):
            raise ValueRejected(field=name, rule=f"takes a number or null, not {kind.__name__}")
    try:
        return np.asarray(values, dtype=np.float64)  # None becomes NaN
    except OverflowError as error:
        raise ValueRejected(field=name, rule="takes a number that a float64 can hold") from error


def string_column(name: str, values: RawValues) -> RawValues:
    """The values as they are; raises ValueRejected for one that is neither a string nor None."""
    for kind in set(map(type, values)) - _STRINGS:
        if not issubclass(kind, str):
            raise ValueRejected(field=name, rule=f"takes a string or null, not {kind.__name__}")
    return values


def string_list_column(name: str, values: RawValues) -> list[Sequence[str]]:
    """Each value of a multi field as a sequence of strings; None is an empty one."""
    for kind in set(map(type, values)) - _STRING_LISTS:
        rule = f"takes a list of strings or null, not {kind.__name__}"
        raise ValueRejected(field=name, rule=rule)
    lists = [() if value is None else value for value in values]
    for kind in set(map(type, chain.from_iterable(lists))):
        if not issubclass(kind, str):
            raise ValueRejected(field=name, rule=f"takes a list of strings, not {kind.__name__}")
    return lists
