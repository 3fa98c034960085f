"""What is wrong with an endpoint, or with what is asked of one."""

from escrowd.domain.errors import EscrowdError, Fault, InvalidInput


class UnusableUrl(InvalidInput):
    """The URL is none that events are sent to."""


class UnknownEventType(InvalidInput):
    """There are no events of this type."""


class UnusableOverlap(InvalidInput):
    """The old secret cannot sign along for so long."""


class WebhookIsOff(EscrowdError):
    """The webhook is switched off, so nothing is sent to it."""

    fault = Fault.CALLER
