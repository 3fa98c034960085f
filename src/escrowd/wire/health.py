"""What machines of the operator are told."""

from escrowd.wire.values import Answer


class Readiness(Answer):
    """Whether the service can do its work: an escrow that is made now would also be paid out."""

    ready: bool
    #: Each condition by name, and whether it holds.
    conditions: dict[str, bool]
