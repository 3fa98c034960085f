"""What a sandbox can do beside the API, one call each."""

from escrowd.sdk.calls import Call, checked, piconero, posting
from escrowd.wire.sandbox import AdvanceClock, Clock, Fund, Funded, Mine, Mined


def mine(blocks: int = 1, *, idempotency_key: str | None = None) -> Call[Mined]:
    """Mine blocks on the private chain of a sandbox."""
    return posting(Mined, "/sandbox/mine", checked(Mine, blocks=blocks), idempotency_key)


def fund(address: str, amount: int, *, idempotency_key: str | None = None) -> Call[Funded]:
    """Pay piconero to an address on the private chain of a sandbox. Mine afterwards."""
    body = checked(Fund, address=address, amount=piconero(amount))
    return posting(Funded, "/sandbox/fund", body, idempotency_key)


def advance_clock(seconds: int, *, idempotency_key: str | None = None) -> Call[Clock]:
    """Put the clock of a sandbox's deadlines forward."""
    return posting(Clock, "/sandbox/clock", checked(AdvanceClock, advance_seconds=seconds), idempotency_key)
