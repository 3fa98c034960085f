"""What has to be done because of a step. Effects are stored with the step and carried out afterwards, at least once."""

from dataclasses import dataclass
from enum import StrEnum


class Effect(StrEnum):
    """One piece of work. Its handler reads what else it needs from the escrow itself, and may be run again."""

    #: Let the three participants make the address.
    MAKE_KEYS = "make_keys"
    #: Watch the address at every block.
    WATCH = "watch"
    #: Ask a real wallet whether it sees the deposit, and learn the key images.
    VERIFY_FUNDING = "verify_funding"
    #: Ask a real wallet whether the deposit is really not there.
    VERIFY_UNFUNDED = "verify_unfunded"
    #: Carry out the order on the money.
    PAY = "pay"
    #: Send late money back to the buyer.
    RETURN_LATE = "return_late"
    #: Save and close the wallets, and watch the address at leisure.
    REST = "rest"
    #: Remind the arbiter.
    REMIND_ARBITER = "remind_arbiter"
    #: Tell the operator that something waits for them.
    TELL_OPERATOR = "tell_operator"


@dataclass(frozen=True, slots=True)
class PendingEffect:
    """A stored piece of work that is not done yet. Version and index name it within its escrow."""

    version: int
    index: int
    effect: Effect
    #: Ties it to the request or the work that it came of (see :mod:`escrowd.domain.cause`).
    cause: str = ""
