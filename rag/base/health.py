"""Whether this process can serve, and if not, why."""

from collections.abc import Callable


class Health:
    """Named checks, a warm-up that must end, and a drain that never does. Not ready until `warmed_up` is called."""

    def __init__(self) -> None:
        self._checks: dict[str, Callable[[], bool]] = {}
        self._is_warm = False
        self._is_draining = False

    def watch(self, name: str, check: Callable[[], bool]) -> None:
        """Asks `check`, which must be quick, with every readiness probe; False takes the server out of rotation."""
        self._checks[name] = check

    def warmed_up(self) -> None:
        """Everything is loaded and has run once."""
        self._is_warm = True

    def drain(self) -> None:
        """The process is about to end: no new work, please."""
        self._is_draining = True

    @property
    def ready(self) -> bool:
        """Whether to send requests here."""
        return not self.failing()

    def failing(self) -> list[str]:
        """What keeps the server from being ready, by name; empty when nothing does."""
        states = {"warm-up": self._is_warm, "draining": not self._is_draining}
        states |= {name: check() for name, check in self._checks.items()}
        return [name for name, is_fine in states.items() if not is_fine]
