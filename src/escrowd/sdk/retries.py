"""How often and how long a call is tried, and how long between two tries."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Final

from escrowd.sdk.steps import Pause

#: Answers after which the same call is made again: too many requests, and a server or a proxy before it that is busy,
#: not there, or too slow.
TRIED_AGAIN: Final = frozenset((429, 502, 503, 504))


@dataclass(frozen=True, slots=True)
class Retries:
    """The patience of a client. All times are in seconds.

    The pause before a try doubles from ``first_pause`` to ``longest_pause``; chance makes it up to half shorter, lest
    many clients come back in step. What a server asks for in ``Retry-After`` is waited for if it is within ``seconds``.
    """

    #: How often a call is made at most.
    tries: int = 5
    #: How long a call may take in all, pauses included.
    seconds: float = 120.0
    #: How long one try may take.
    try_seconds: float = 30.0
    first_pause: float = 0.5
    longest_pause: float = 8.0

    def __post_init__(self) -> None:
        if self.tries < 1 or min(self.seconds, self.try_seconds) <= 0 or min(self.first_pause, self.longest_pause) < 0:
            raise ValueError("a call is tried at least once, with times above 0 and pauses not below")

    def pause_after(self, tries: int, spent: float, retry_after: float | None) -> Pause | None:
        """Return the pause before the next try, or ``None`` where there should be none.

        ``tries`` were made, and took ``spent`` seconds with their pauses.
        """
        if tries >= self.tries:
            return None
        pause = self.pause(tries)
        if retry_after is not None:
            pause = Pause(retry_after, retry_after + pause.most)
        return pause if spent + pause.least < self.seconds else None

    def pause(self, tries: int) -> Pause:
        """Return the pause after so many tries that failed, from 1."""
        # Beyond 2**32 the pause is the longest anyhow, and a float would overflow some day.
        most = min(self.longest_pause, self.first_pause * 2.0 ** min(tries - 1, 32))
        return Pause(most / 2, most)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return how many seconds an answer asks to wait, or ``None`` where it does not say.

    A date is taken against the ``Date`` of the same answer, so that a clock that is wrong on either side does no harm.
    """
    value = headers.get("retry-after", "").strip()
    if value.isascii() and value.isdigit():
        return float(value)
    until, now = _moment(value), _moment(headers.get("date", ""))
    return None if until is None or now is None else max(0.0, (until - now).total_seconds())


# ---------------------------------------------------------------------------------------------------------------------


def _moment(text: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else None
