"""Settings that change while the server runs: what leads to models, and who may use them. A fault changes nothing.

The file is read again on SIGHUP and when it changes; `PUT /admin/config` brings settings of its own. What else the file
says is built into what is open, so a change of it is refused by name.
"""

import asyncio
import logging
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from msgspec import Struct

from rag.base.errors import ConfigError, for_the_log
from rag.settings import EXCHANGEABLE, Settings

FROM_FILES: Final = (*EXCHANGEABLE, "auth")
"""The sections that can change while the server runs: those that may come over HTTP, and keys."""

POLL_S: Final = 1.0

_log = logging.getLogger(__name__)


class Reloader:
    """The settings in force, and the way to others. `read` gives those that the file and the environment have now."""

    def __init__(
        self,
        settings: Settings,
        exchange: Callable[[Settings], Awaitable[None]],
        read: Callable[[], Settings] | None = None,
    ) -> None:
        self.settings = settings
        self._exchange = exchange
        self._read = read
        self._one_at_a_time = asyncio.Lock()

    async def take(self, settings: Settings) -> tuple[str, ...]:
        """Puts the settings into force: all of them, in one step; returns the sections that changed.

        Raises ConfigError for a fault and for what only a restart changes, and then nothing has changed.
        """
        async with self._one_at_a_time:
            changed = changes(self.settings, settings)
            if changed:
                await self._exchange(settings)
                self.settings = settings
            return changed

    async def reread(self) -> tuple[str, ...]:
        """Takes what the file says now. Raises ConfigError, as `take`."""
        if self._read is None:
            raise ConfigError("the settings of this server are not from a file")
        return await self.take(await self.read())

    async def read(self) -> Settings:
        """What the file and the environment say now, whether or not it can be taken. Raises ConfigError."""
        return self.settings if self._read is None else await asyncio.to_thread(self._read)


def changes(old: Settings, new: Settings) -> tuple[str, ...]:
    """The sections that differ. Raises ConfigError when one of them cannot change while the server runs."""
    names = [name for name in Settings.__struct_fields__ if getattr(old, name) != getattr(new, name)]
    for name in names:
        if name not in FROM_FILES:
            place = _first_difference(getattr(old, name), getattr(new, name), f"$.{name}")
            known = ", ".join(f"[{section}]" for section in FROM_FILES)
            raise ConfigError(
                f"setting {place}: this cannot change while the server runs, only {known} can; restart it", path=place
            )
    return tuple(names)


@asynccontextmanager
async def following(reloader: Reloader, *paths: Path) -> AsyncIterator[None]:
    """While open, SIGHUP and changes of files, or in folders, lead to `reread`; what comes of it is in the log."""
    asked = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGHUP, asked.set)
    tasks = [asyncio.create_task(_reread_when(asked, reloader))]
    tasks += [asyncio.create_task(_watch(path, asked)) for path in paths]
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGHUP)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _reread_when(asked: asyncio.Event, reloader: Reloader) -> None:
    while True:
        await asked.wait()
        asked.clear()
        try:
            changed = await reloader.reread()
        except ConfigError as error:
            _log.error("the settings stay as they were: %s", for_the_log(error))
        except Exception:  # noqa: BLE001 - the seam: the server goes on with what it has
            _log.exception("the settings stay as they were")
        else:
            _log.warning("settings read again; changed: %s", ", ".join(changed) or "nothing")


async def _watch(path: Path, asked: asyncio.Event) -> None:
    """Sets `asked` when there was a change. Polled: editors and orchestrators replace files in ways of their own."""
    seen = await asyncio.to_thread(_state_of, path)
    while True:
        await asyncio.sleep(POLL_S)
        state = await asyncio.to_thread(_state_of, path)
        if state is not None and state != seen:
            seen = state
            asked.set()


def _state_of(path: Path) -> tuple[tuple[str, int, int, int], ...] | None:
    """Differs after every change that matters of a file, or of those in a folder; None while there is nothing."""
    try:
        files = sorted(path.iterdir()) if path.is_dir() else [path]
        return tuple(_stamp_of(file) for file in files)
    except OSError:
        return None


def _stamp_of(file: Path) -> tuple[str, int, int, int]:
    stat = file.stat()
    return file.name, stat.st_mtime_ns, stat.st_size, stat.st_ino


def _first_difference(old: Any, new: Any, place: str) -> str:
    """The path of the first setting below `place` that differs."""
    if type(old) is not type(new) or not isinstance(old, Struct):
        return place
    field = next(name for name in old.__struct_fields__ if getattr(old, name) != getattr(new, name))
    return _first_difference(getattr(old, field), getattr(new, field), f"{place}.{field}")
