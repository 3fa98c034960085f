import pytest

from escrowd.sdk.retries import Retries, retry_after
from escrowd.sdk.steps import Pause

NOW = "Tue, 06 Jan 2026 10:00:00 GMT"


def test_pauses_do_not_grow_as_they_should() -> None:
    """A pause doubles up to the longest one, and chance makes it up to half shorter."""
    retries = Retries(first_pause=0.5, longest_pause=3)
    assert [retries.pause(tries) for tries in range(1, 6)] == [
        Pause(0.25, 0.5),
        Pause(0.5, 1.0),
        Pause(1.0, 2.0),
        Pause(1.5, 3.0),
        Pause(1.5, 3.0),
    ]
    assert retries.pause(10**9) == Pause(1.5, 3.0)


def test_try_follows_when_patience_has_ended() -> None:
    """There is no pause after the last try, nor one that would end after the time of the call."""
    retries = Retries(tries=3, seconds=10)
    assert retries.pause_after(3, 0.0, None) is None
    assert retries.pause_after(2, 9.9, None) is None
    assert retries.pause_after(2, 5.0, 5.0) is None
    assert retries.pause_after(2, 5.0, 4.0) == Pause(4.0, 5.0)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after": " 12 "}, 12.0),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "1.5"}, None),
        ({"retry-after": "²"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "Tue, 06 Jan 2026 10:00:30 GMT", "date": NOW}, 30.0),
        ({"retry-after": "Tue, 06 Jan 2026 09:00:00 GMT", "date": NOW}, 0.0),
        ({"retry-after": "Tue, 06 Jan 2026 10:00:30 GMT"}, None),
        ({"retry-after": "Tue, 06 Jan 2026 10:00:30", "date": NOW}, None),
    ],
)
def test_wish_of_the_server_is_misread(headers: dict[str, str], seconds: float | None) -> None:
    """``Retry-After`` is a number of seconds, or a date against that of the same answer; anything else says nothing."""
    assert retry_after(headers) == seconds


@pytest.mark.parametrize(
    "wrong", [{"tries": 0}, {"seconds": 0}, {"try_seconds": -1}, {"first_pause": -1}, {"longest_pause": -0.1}]
)
def test_patience_that_is_none_is_accepted(wrong: dict[str, float]) -> None:
    """A call has at least one try, time for it, and no pause below zero."""
    with pytest.raises(ValueError, match="at least once"):
        Retries(**wrong)  # type: ignore[arg-type]
