"""Taking a backup while the server answers."""

from datetime import datetime

from litestar import post
from litestar.di import NamedDependency
from msgspec import Struct

from rag.compose import Services
from rag.serve.guards import REBUILDS
from rag.serve.reference import refusals
from rag.serve.wire import convert


class BackupBody(Struct, frozen=True, kw_only=True):
    """A backup: where it lies within the data folder, and what it holds."""

    file: str
    version: str
    made_at: datetime
    files: int
    bytes: int


@post(
    "/admin/backup",
    status_code=201,
    tags=["operations"],
    summary="Take a backup",
    opt=REBUILDS,
    responses=refusals(409, 503),
)
async def take_backup(services: NamedDependency[Services]) -> BackupBody:
    """Writes all that the data folder holds into one file in the data folder, where it waits to be fetched.

    No byte of it is told here: who may read the data folder may read the backup. The next backup removes it.
    """
    return convert(await services.backups.take(), BackupBody)
