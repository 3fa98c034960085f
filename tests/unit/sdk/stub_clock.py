"""A clock that goes on only while somebody sleeps."""


class StubClock:
    """The time of a test. ``slept`` is how long each sleep was."""

    def __init__(self) -> None:
        self.slept: list[float] = []
        self.time = 0.0

    def now(self) -> float:
        """Return the time of the test."""
        return self.time

    def sleep(self, seconds: float) -> None:
        """Be there at once."""
        self.slept.append(seconds)
        self.time += seconds

    async def asleep(self, seconds: float) -> None:
        """Be there at once."""
        self.sleep(seconds)
