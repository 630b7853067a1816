"""Rows of parquet files, whatever Arrow calls text: plain, large, view or dictionary, alone or inside lists."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from minillm.data.naming import key_names, one_of

__all__ = ["parquet_rows", "parquet_texts"]

Place = tuple[str, Any]


def parquet_rows(path: Path, wanted: Sequence[str], keys: Sequence[str]) -> Iterator[Place]:
    """The place of each row, "row 1" for the first, with what it holds, or the ValueError that it cannot be read.

    Args:
        path: the file.
        wanted: columns to read, where they are there.
        keys: columns of which one must be there.
    Raises:
        ValueError: pyarrow is missing, the file is damaged, or has none of the columns.
    """
    return _rows(path, wanted, keys, text=False)


def parquet_texts(path: Path, key: str) -> Iterator[Place]:
    """The same for the texts of one column; None where there is none.

    Raises:
        ValueError: as `parquet_rows`, or the column holds something else than text.
    """
    rows = _rows(path, (key,), (key,), text=True)
    return ((place, row if isinstance(row, ValueError) else row[key]) for place, row in rows)


def _rows(path: Path, wanted: Sequence[str], keys: Sequence[str], text: bool) -> Iterator[Place]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise ValueError(f"{path} needs the package `pyarrow`: python -m pip install pyarrow") from None
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            schema = file.schema_arrow
            if not any(key in schema.names for key in keys):
                advice = "rename the column with the text" if text else "rename the columns"
                raise ValueError(
                    f"{path} has no column {one_of(keys)}, only {key_names(schema.names)}; {advice}"
                )
            if text and not _is_text(pyarrow.types, kind := schema.field(keys[0]).type):
                raise ValueError(f"{path}: column {keys[0]!r} holds {kind}, not text; convert it to strings")
            columns = [name for name in wanted if name in schema.names]
            number = 0
            for batch in file.iter_batches(columns=columns):
                for row in _values(batch):
                    number += 1
                    yield f"row {number}", _placed(row, path, number)
    except (pyarrow.ArrowException, OSError) as error:
        reason = str(error).strip().split("\n")[0]
        raise ValueError(f"{path} is damaged or not a parquet file ({reason}); restore it") from error


def _is_text(types: Any, kind: Any) -> bool:
    """Whether an Arrow type is text, or nothing at all."""
    if types.is_dictionary(kind):
        return _is_text(types, kind.value_type)
    return bool(
        types.is_string(kind)
        or types.is_large_string(kind)
        or types.is_string_view(kind)
        or types.is_null(kind)
    )


def _values(batch: Any) -> list[Any]:
    """The rows of a batch as dictionaries; for one with bytes that are no text, the error."""
    try:
        return list(batch.to_pylist())
    except UnicodeDecodeError:
        return [_value(batch.slice(number, 1)) for number in range(batch.num_rows)]


def _value(row: Any) -> Any:
    try:
        return row.to_pylist()[0]
    except UnicodeDecodeError as error:
        return ValueError(f"its text is not UTF-8 ({error.reason}); write the file again from text that is")


def _placed(row: Any, path: Path, number: int) -> Any:
    return ValueError(f"{path}, row {number}: {row}") if isinstance(row, ValueError) else row
