"""Writes a fixture: the model's file, and beside it golden rows with the predictions of its library."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

MAX_BYTES = 60_000


def _cell(value: Any) -> Any:
    """Converts a value for JSON: null for missing, and strings for the infinities."""
    if isinstance(value, float) and math.isnan(value):
        return None
    if isinstance(value, float) and math.isinf(value):
        return "inf" if value > 0 else "-inf"
    return value


def _row(row: Any) -> Any:
    if isinstance(row, dict):
        return {name: _cell(value) for name, value in row.items()}
    return [_cell(float(value)) for value in row]


def _lines(values: Sequence[Any]) -> str:
    """Formats a JSON array with one element per line."""
    return "[\n" + ",\n".join(json.dumps(value, allow_nan=False) for value in values) + "\n]"


def write_fixture(model: Path, text: str, made_by: str, columns: Sequence[str], rows: Any, raw: np.ndarray,
                  prediction: np.ndarray, contributions: np.ndarray | None = None) -> None:
    """Writes `model` with `text`, and its `.golden.json`. An f32 is written as the f64 that equals it."""
    fields = [("made_by", json.dumps(made_by)), ("columns", json.dumps(list(columns))),
              ("rows", _lines([_row(row) for row in rows])),
              ("raw", _lines(np.asarray(raw, dtype=np.float64).tolist())),
              ("prediction", _lines(np.asarray(prediction, dtype=np.float64).tolist()))]
    if contributions is not None:
        fields.append(("contributions", _lines(np.asarray(contributions, dtype=np.float64).tolist())))
    golden = "{" + ",\n".join(f'"{name}": {value}' for name, value in fields) + "}\n"
    model.write_text(text, encoding="utf-8")
    beside = model.parent / f"{model.stem}.golden.json"
    beside.write_text(golden, encoding="utf-8")
    for path in (model, beside):
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise SystemExit(f"make_fixtures: {path.name} has {size} bytes, more than {MAX_BYTES}")
    print(f"{model.name}  {model.stat().st_size} + {beside.stat().st_size} bytes")
