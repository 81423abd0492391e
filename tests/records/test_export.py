"""The log for others: every record once, with its feedback, in either format the same."""

from io import BytesIO

import msgspec
import pyarrow.parquet
from msgspec.structs import replace

from rag.base.types import Principal
from rag.records import feedback, requests
from rag.records.database import Database
from rag.records.export import PAGE, ExportedRecord, exported, writer_to
from rag.records.feedback import Feedback
from tests.records.test_requests import plain

ANN = Principal(subject="ann", tenant="acme")
N_RECORDS = PAGE + 20


async def logged(database: Database) -> list[ExportedRecord]:
    """More than a page of records, one of them full and praised, as they come out again."""
    full = replace(
        plain(0),
        degraded=("rerank",),
        stages_s={"embed": 0.5},
        lineage={"model": "m"},
        cited=("d1", "d2"),
        cost_usd=0.25,
    )
    records = [full, *(plain(number) for number in range(1, N_RECORDS))]
    await database.run(lambda connection: requests.insert(connection, records))
    word = Feedback(thumb="up", comment="good")
    owner = replace(ANN, subject=full.subject, tenant=full.tenant)
    await database.run(lambda connection: feedback.give(connection, word, owner, full.request_id))
    found = [record async for page in exported(database) for record in page]
    assert [record.id for record in found] == sorted(record.id for record in records)
    return found


async def test_both_formats_hold_every_record_with_its_feedback(database: Database) -> None:
    found = await logged(database)
    lines, columns = BytesIO(), BytesIO()
    for kind, stream in (("jsonl", lines), ("parquet", columns)):
        writer = writer_to(stream, kind)
        async for page in exported(database):
            writer.write(page)
        writer.close()
    assert msgspec.json.Decoder(ExportedRecord).decode_lines(lines.getvalue()) == found
    rows = pyarrow.parquet.read_table(columns).to_pylist(maps_as_pydicts="strict")
    assert [msgspec.convert(row, ExportedRecord) for row in rows] == found
    praised = next(record for record in found if record.feedback)
    assert (praised.feedback and praised.feedback.comment, praised.cited) == ("good", ("d1", "d2"))


async def test_only_what_ended_since_is_exported(database: Database) -> None:
    found = await logged(database)
    since_s = sorted(record.at_s for record in found)[-5]
    assert sum([len(page) async for page in exported(database, since_s)]) == sum(r.at_s >= since_s for r in found) > 0


async def test_an_empty_log_is_a_file_with_columns_and_no_rows(database: Database) -> None:
    columns = BytesIO()
    writer = writer_to(columns, "parquet")
    writer.close()
    table = pyarrow.parquet.read_table(columns)
    assert (table.num_rows, table.column_names) == (0, list(ExportedRecord.__struct_fields__))
