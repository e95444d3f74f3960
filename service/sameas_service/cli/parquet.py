"""Parquet files, where pyarrow is installed: it is large, so it is an extra."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from sameas_service.cli.appending import TargetError
from sameas_service.resolver.read.export import Holding

SUFFIX = ".parquet"


class ParquetMissingError(Exception):
    """pyarrow is not installed."""

    def __init__(self) -> None:
        super().__init__(
            "Parquet needs pyarrow: pip install 'sameas-service[parquet]'; "
            "or name a file that does not end in .parquet, for JSON lines"
        )


def write_parquet(path: Path, pieces: Iterable[list[Holding]], *, replace: bool) -> None:
    """Write stretches as a table with the columns id, kind, person_id, from, to.

    The file is there once it is whole: a Parquet file cannot be continued, so an interrupted
    one starts anew.

    Raises:
        ParquetMissingError: pyarrow is not installed.
        TargetError: it exists, and is not to be replaced.
    """
    try:
        import pyarrow as pa  # noqa: PLC0415
        from pyarrow import parquet  # noqa: PLC0415
    except ImportError as error:
        raise ParquetMissingError from error
    if path.exists() and not replace:
        raise TargetError(f"{path} exists; --resume replaces it")
    partial = path.with_name(path.name + ".part")
    partial.unlink(missing_ok=True)
    os.close(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    schema = _schema(pa)
    with parquet.ParquetWriter(partial, schema, compression="zstd") as writer:
        for piece in pieces:
            if piece:
                columns = [list(column) for column in zip(*piece, strict=True)]
                writer.write_table(pa.table(columns, schema=schema))
    partial.replace(path)


def _schema(pa: Any) -> Any:
    time = pa.timestamp("us", tz="UTC")
    text = pa.string()
    return pa.schema(
        [
            pa.field("id", text, nullable=False),
            pa.field("kind", text, nullable=False),
            pa.field("person_id", text, nullable=False),
            pa.field("from", time),
            pa.field("to", time),
        ]
    )
