"""What machines of the operator are told."""

from escrowd.wire.values import Answer


class Readiness(Answer):
    """Whether the service can do its work: an escrow that is made now would also be paid out."""

    ready: bool
    #: Each condition by name, and whether it holds.
    conditions: dict[str, bool]
    #: Of each condition that does not hold, what is wrong and what the operator can do.
    problems: dict[str, str]
    #: What the operator has to know while it works, by name: `fork_approaching`, `draining`.
    warnings: dict[str, str]
