"""A clock that a test moves."""


class Clock:
    """Stands still until it is moved.

    Attributes:
        now: the time, in seconds.
    """

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now
