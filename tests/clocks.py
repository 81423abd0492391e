"""A clock that a test moves by hand."""


class HandClock:
    """Starts at 1,000 s, so that nothing passes because a clock starts at zero."""

    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s

    def advance(self, seconds: float) -> None:
        self.now_s += seconds
