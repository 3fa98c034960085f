"""How long refused bytes are not sent again."""

from escrowd.service.payouts.following import FIRST_PAUSE, LONGEST_PAUSE, pause_after


def test_pause_after_a_refusal_doubles_up_to_the_longest() -> None:
    """Bytes that the daemon refuses are not sent each second: the pause grows from ten seconds to an hour (W8)."""
    pauses = [pause_after(refusals) for refusals in range(1, 100)]
    assert pauses[:4] == [FIRST_PAUSE, 2 * FIRST_PAUSE, 4 * FIRST_PAUSE, 8 * FIRST_PAUSE]
    assert pauses == sorted(pauses)
    assert pauses[-1] == LONGEST_PAUSE
