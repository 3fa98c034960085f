"""Work that is claimed: what store and worker tell each other of it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ClaimedRow:
    """A work row as it was when it was claimed."""

    key: str
    #: What the key begins with; it says who can carry the row out.
    kind: str
    #: The number of the claim, higher than that of any claim on this row before.
    fence: int
    #: How often the row had been woken by then.
    wake: int
    #: How often it failed since it last went well.
    attempt: int
