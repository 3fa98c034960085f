"""What is not kept for ever, and for how long it is kept."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Prunable(StrEnum):
    """A table from which rows are removed when they are old, by its name. Everything else is history, and stays."""

    #: What requests with an Idempotency-Key were answered.
    ANSWERS = "answers"
    #: Events on their way to endpoints; what was not taken yet is never removed.
    DELIVERIES = "deliveries"


@dataclass(frozen=True, slots=True)
class Retention:
    """For how many days things are kept that are not kept for ever."""

    #: From the answer on.
    answers_days: int = 30
    #: From the moment on at which an endpoint took it, the last time.
    deliveries_days: int = 90

    def milliseconds(self, what: Prunable) -> int:
        """Return for how many milliseconds a row is kept."""
        days = {Prunable.ANSWERS: self.answers_days, Prunable.DELIVERIES: self.deliveries_days}
        return days[what] * _DAY


# ---------------------------------------------------------------------------------------------------------------------

_DAY: Final = 24 * 3600 * 1000
