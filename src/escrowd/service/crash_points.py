"""Named places between two steps, where tests end the process to see what the next start makes of it.

In service they do nothing. The tests of faults install a hitter, which kills.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import TypeAlias


class CrashPoint(StrEnum):
    """A place where a crash must do no harm: just after what its name says."""

    # --- keys
    #: The hosted wallets of an attempt were made.
    K1_CREATED = "K1_created"
    K2_PREPARED = "K2_prepared"
    K3_MADE = "K3_made"
    K4_EXCHANGED = "K4_exchanged"
    #: All three are ready, agree and are backed up; nothing of that is stored yet.
    K5_READY = "K5_ready"
    #: The keys are stored.
    K6_PUBLISHED = "K6_published"
    # --- funding
    F1_SEEN = "F1_seen"
    F2_CREDITED = "F2_credited"
    F3_NOTIFIED = "F3_notified"
    # --- payouts
    P1_INTENT = "P1_intent"
    P2_EXPORTED = "P2_exported"
    P3_EXPORT_STORED = "P3_export_stored"
    P4_IMPORTED = "P4_imported"
    P5_PROPOSED = "P5_proposed"
    P6_VALIDATED = "P6_validated"
    P7_SIGN_INTENT = "P7_sign_intent"
    P8_SIGNED = "P8_signed"
    P9_SIGN_STORED = "P9_sign_stored"
    #: The bytes of the signed transactions are known, and not stored yet.
    P9_RECORDED = "P9_recorded"
    P10_SIGNED_IN_DB = "P10_signed_in_db"
    P11_SUBMIT_SENT = "P11_submit_sent"
    P12_SUBMIT_OK = "P12_submit_ok"
    P13_IN_POOL = "P13_in_pool"
    P14_MINED = "P14_mined"
    P15_FINAL = "P15_final"
    P16_NOTIFIED = "P16_notified"


#: What happens at a place. It may end the process, raise, or do nothing.
Hitter: TypeAlias = Callable[[CrashPoint], None]


def crash_point(point: CrashPoint) -> None:
    """Pass a place. Does nothing unless a hitter is installed."""
    for hitter in _hitters:
        hitter(point)


@contextmanager
def hit_by(hitter: Hitter) -> Iterator[None]:
    """Call ``hitter`` at each place that is passed until the end of the block."""
    _hitters.append(hitter)
    try:
        yield
    finally:
        _hitters.remove(hitter)


# ---------------------------------------------------------------------------------------------------------------------

_hitters: list[Hitter] = []
