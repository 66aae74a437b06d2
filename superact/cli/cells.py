"""One value as text: what a person reads in a table, and what JSON can hold."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

Convert = Callable[[Any], Any]
ABSENT = "-"


def shown(value: Any) -> str:
    """A value in a table: NULL as -, floats with four significant digits (none before the point is dropped)."""
    if value is None:
        return ABSENT
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return _float(value)
    if isinstance(value, (list, dict)):
        value = json.dumps(value, ensure_ascii=False)
    text = str(value)
    return text if text.isprintable() else "".join(map(_visible, text))


def _visible(character: str) -> str:
    # A token's line break would break the table's line, and an escape sequence would speak to the terminal.
    return character if character.isprintable() else character.encode("unicode_escape").decode()


def _float(value: float) -> str:
    if not math.isfinite(value):
        return str(value)
    if 1000 <= abs(value) < 1e15:
        return f"{value:.0f}"
    return f"{value:#.4g}".rstrip(".")


def jsonable(kind: pa.DataType) -> Convert:
    """A function from Python values of an Arrow type to what `json.dumps` writes as valid JSON.

    NaN and infinities become null, since JSON has none; times are ISO 8601, bytes hexadecimal, exact numbers stay
    numbers.
    """
    import pyarrow as pa

    if pa.types.is_dictionary(kind):
        return jsonable(kind.value_type)
    if pa.types.is_float16(kind) or pa.types.is_float32(kind):
        return _single
    if pa.types.is_float64(kind):
        return lambda value: value if math.isfinite(value) else None
    if pa.types.is_decimal(kind):
        return lambda value: int(value) if kind.scale == 0 else float(value)
    if pa.types.is_temporal(kind):
        return lambda value: value.isoformat() if hasattr(value, "isoformat") else str(value)
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind):
        return lambda value: value.hex()
    return _nested(kind)


def _nested(kind: pa.DataType) -> Convert:
    import pyarrow as pa

    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        each = optional(jsonable(kind.value_type))
        return lambda value: [each(item) for item in value]
    if pa.types.is_struct(kind):
        fields = {field.name: optional(jsonable(field.type)) for field in kind}
        return lambda value: {name: convert(value[name]) for name, convert in fields.items()}
    if pa.types.is_map(kind):
        item = optional(jsonable(kind.item_type))
        return lambda value: {str(key): item(content) for key, content in value}
    return lambda value: value


def optional(convert: Convert) -> Convert:
    """The same function with NULL passed through."""
    return lambda value: None if value is None else convert(value)


def _single(value: float) -> float | None:
    # A FLOAT of .1 is .1 to its reader, not .10000000149: the shortest decimal that reads back as the same FLOAT.
    import numpy as np

    return float(str(np.float32(value))) if math.isfinite(value) else None
