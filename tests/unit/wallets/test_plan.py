from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from escrowd.domain.identifiers import EscrowId
from escrowd.wallets.plan import Phase, Plan, SessionView, Waiting, plan, stale, surplus

A, B, C, D = (EscrowId(name) for name in ("esc_a", "esc_b", "esc_c", "esc_d"))


def session(escrow: EscrowId, phase: Phase = Phase.IDLE, last_used: float = 0, **times: float) -> SessionView:
    return SessionView(escrow, phase, last_used, times.get("expires_at", 1e9), times.get("evictable_from", 0))


def waiting(*escrows: EscrowId) -> list[Waiting]:
    return [Waiting(ticket, escrow) for ticket, escrow in enumerate(escrows)]


def test_idle_session_is_granted_to_the_first_who_waits() -> None:
    """An idle session goes to whoever came first, and to nobody else."""
    assert plan([session(A)], waiting(A, A), 5, 0) == Plan(grants=(Waiting(0, A),))


def test_missing_session_is_opened_once() -> None:
    """However many wait for a missing session, it is opened once."""
    assert plan([], waiting(A, A, A), 5, 0) == Plan(opens=(A,))


def test_least_recently_used_session_makes_room() -> None:
    """Without room, the idle session that was used longest ago is evicted, and the new one waits for its room."""
    sessions = [session(A, last_used=2), session(B, last_used=1), session(C, last_used=3)]
    assert plan(sessions, waiting(D), 3, 10) == Plan(evictions=(B,))


def test_leased_session_is_never_evicted() -> None:
    """A leased session stays, though it is the least recently used one."""
    sessions = [session(A, Phase.LEASED, last_used=1), session(B, last_used=2)]
    assert plan(sessions, waiting(C), 2, 10) == Plan(evictions=(B,))


def test_nothing_is_evicted_when_all_are_leased() -> None:
    """When all sessions are leased, one more waits."""
    sessions = [session(A, Phase.LEASED), session(B, Phase.LEASED)]
    assert plan(sessions, waiting(C), 2, 10) == Plan()


def test_room_that_is_coming_is_counted_once() -> None:
    """A closing session makes room for one who waits; a second one needs an eviction of its own."""
    sessions = [session(A, Phase.CLOSING), session(B, last_used=1)]
    assert plan(sessions, waiting(C), 2, 10) == Plan()
    assert plan(sessions, waiting(C, D), 2, 10) == Plan(evictions=(B,))


def test_session_somebody_waits_for_is_evicted_last() -> None:
    """A session for which somebody further back waits is evicted only if there is no other."""
    sessions = [session(A, last_used=1), session(B, last_used=2)]
    assert plan(sessions, waiting(C, A), 2, 10) == Plan(grants=(Waiting(1, A),), evictions=(B,))
    assert plan([session(A)], waiting(C, A), 1, 10) == Plan(evictions=(A,))


def test_session_granted_in_this_plan_is_not_evicted_by_it() -> None:
    """A session that was just lent to an earlier one makes no room for a later one."""
    assert plan([session(A)], waiting(A, B), 1, 10) == Plan(grants=(Waiting(0, A),))


def test_session_that_could_not_be_saved_is_kept_for_a_while() -> None:
    """After a failed save a session is neither evicted nor expired until its retry is due."""
    unsaved = session(A, last_used=1, evictable_from=50, expires_at=5)
    assert plan([unsaved], waiting(B), 1, 49) == Plan()
    assert plan([unsaved], waiting(B), 1, 50) == Plan(evictions=(A,))
    assert (stale([unsaved], 49), stale([unsaved], 50)) == ((), (A,))


def test_only_idle_sessions_expire() -> None:
    """A session whose time is over closes if it is idle; one in use does not."""
    sessions = [session(A, expires_at=5), session(B, Phase.LEASED, expires_at=5), session(C, expires_at=6)]
    assert stale(sessions, 5) == (A,)


def test_surplus_is_the_least_recently_used() -> None:
    """Of more sessions than may be open, those used longest ago go."""
    sessions = [session(A, last_used=3), session(B, last_used=1), session(C, last_used=2)]
    assert surplus(sessions, 1, 10) == (B, C)
    assert surplus(sessions, 3, 10) == ()


ESCROWS = st.sampled_from([EscrowId(f"esc_{number}") for number in range(6)])


@st.composite
def situations(draw: st.DrawFn) -> tuple[Sequence[SessionView], Sequence[Waiting], int]:
    escrows = draw(st.lists(ESCROWS, unique=True))
    sessions = [
        session(
            escrow,
            draw(st.sampled_from(Phase)),
            draw(st.integers(0, 9)),
            evictable_from=draw(st.sampled_from([0.0, 100.0])),
        )
        for escrow in escrows
    ]
    return sessions, waiting(*draw(st.lists(ESCROWS, max_size=8))), draw(st.integers(1, 7))


@given(situations())
def test_no_plan_breaks_a_rule(situation: tuple[Sequence[SessionView], Sequence[Waiting], int]) -> None:
    """No plan lends a session twice, opens one twice, closes one in use, or opens more than there is room for."""
    sessions, queue, capacity = situation
    planned = plan(sessions, queue, capacity, now=50)
    phases = {each.escrow: each.phase for each in sessions}
    granted = [one.escrow for one in planned.grants]
    assert len(set(granted)) == len(granted)
    assert all(phases[escrow] is Phase.IDLE for escrow in granted)
    assert len(set(planned.opens)) == len(planned.opens)
    assert not set(planned.opens) & set(phases)
    assert all(phases[escrow] is Phase.IDLE for escrow in planned.evictions)
    assert not set(planned.evictions) & set(granted)
    assert not planned.opens or len(sessions) + len(planned.opens) <= capacity


@given(situations())
def test_whoever_can_be_served_is_served(situation: tuple[Sequence[SessionView], Sequence[Waiting], int]) -> None:
    """After a plan nobody waits in vain: who waits on has a session in the making, or there is none left to evict."""
    sessions, queue, capacity = situation
    planned = plan(sessions, queue, capacity, now=50)
    untouched = {each.escrow for each in sessions if each.may_be_closed(50)} - set(planned.evictions)
    free = untouched - {one.escrow for one in planned.grants}
    in_making = {each.escrow for each in sessions} | set(planned.opens)
    without = {one.escrow for one in queue} - in_making
    room_coming = sum(each.phase is Phase.CLOSING for each in sessions) + len(planned.evictions)
    assert not free or len(without) <= room_coming
