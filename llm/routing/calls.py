"""The calls that are out with one configuration."""

import asyncio


class Calls:
    """Counts them, so that nothing is closed under one."""

    def __init__(self) -> None:
        self.n_out = 0
        self._are_over = asyncio.Event()
        self._are_over.set()

    def began(self) -> None:
        """One more."""
        self.n_out += 1
        self._are_over.clear()

    def ended(self) -> None:
        """One less."""
        self.n_out -= 1
        if not self.n_out:
            self._are_over.set()

    async def wait_over(self) -> None:
        """Returns when none is out."""
        while self.n_out:
            await self._are_over.wait()
