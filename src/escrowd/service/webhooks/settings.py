"""How webhooks are sent."""

from dataclasses import dataclass

from escrowd.service.webhooks.addresses import Network


@dataclass(frozen=True, slots=True)
class WebhookSettings:
    """Times are seconds."""

    #: Networks that are not public and may be sent to all the same, also without TLS.
    allowed_networks: tuple[Network, ...] = ()
    #: How long one try may take, from the look-up of the host to the end of the answer.
    timeout: float = 15.0
    #: An endpoint is switched off when nothing went well for so long while it was sent things.
    disable_after: float = 5 * 24 * 3600.0
    #: Tries under way at the same time.
    at_once: int = 16
    #: How many endpoints there may be.
    most_endpoints: int = 32
