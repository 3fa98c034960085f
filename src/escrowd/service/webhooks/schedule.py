"""When what failed is tried again: the schedule that Standard Webhooks recommends."""

from typing import Final

_MINUTE, _HOUR = 60.0, 3600.0
#: Seconds before the next try, by the number of failures. The last one goes on for ever.
PAUSES: Final = (
    5.0,
    5 * _MINUTE,
    30 * _MINUTE,
    2 * _HOUR,
    5 * _HOUR,
    10 * _HOUR,
    14 * _HOUR,
    20 * _HOUR,
    24 * _HOUR,
)
#: A pause is longer by up to this share, so that what failed together does not come back together.
JITTER: Final = 0.1


def pause_after(failures: int, chance: float) -> float:
    """Return the seconds before the next try after so many failures; ``chance`` is drawn from 0 to 1."""
    return PAUSES[min(failures, len(PAUSES)) - 1] * (1 + JITTER * chance)
