"""The request log as a Parquet file: a column for each field. Needs the extra `parquet`."""

from typing import BinaryIO, Final

import msgspec
import pyarrow as pa  # type: ignore[import-untyped]  # pyarrow ships no types
from msgspec import inspect
from pyarrow.parquet import ParquetWriter  # type: ignore[import-untyped]  # as above

from rag.records.export import ExportedRecord

_PLAIN: Final = {
    inspect.StrType: pa.string(),
    inspect.LiteralType: pa.string(),
    inspect.FloatType: pa.float64(),
    inspect.IntType: pa.int64(),
    inspect.BoolType: pa.bool_(),
}


class ParquetFile:
    """A `Writer`; each page is a row group."""

    def __init__(self, stream: BinaryIO) -> None:
        self._schema = pa.schema(_field(field) for field in _struct(ExportedRecord).fields)
        self._writer = ParquetWriter(stream, self._schema, compression="zstd")

    def write(self, page: list[ExportedRecord]) -> None:
        """See Writer."""
        self._writer.write_table(pa.Table.from_pylist(msgspec.to_builtins(page), self._schema))

    def close(self) -> None:
        """See Writer: the directory of the file, without which it cannot be read, comes last."""
        self._writer.close()


def _struct(kind: type[msgspec.Struct]) -> inspect.StructType:
    info = inspect.type_info(kind)
    assert isinstance(info, inspect.StructType)
    return info


def _field(field: inspect.Field) -> pa.Field:
    return pa.field(field.name, _type(field.type))


def _type(kind: inspect.Type) -> pa.DataType:
    """The Arrow type of a field; whatever may be None is what it otherwise is."""
    match kind:
        case inspect.UnionType():
            (known,) = (one for one in kind.types if not isinstance(one, inspect.NoneType))
            return _type(known)
        case inspect.VarTupleType():
            return pa.list_(_type(kind.item_type))
        case inspect.DictType():
            return pa.map_(_type(kind.key_type), _type(kind.value_type))
        case inspect.StructType():
            return pa.struct([_field(field) for field in kind.fields])
        case _:
            return _PLAIN[type(kind)]
