"""Errors of the service."""

from escrowd.domain.errors import EscrowdError, Fault, Retry


class ServiceError(EscrowdError):
    """The service could not do what was asked or what is due."""


class NotInSync(ServiceError):
    """The daemon, a wallet or the watcher has not caught up with the chain; facts about money have to wait."""

    fault = Fault.MONERO
    retry = Retry.SAFE


class ChainNotTrusted(ServiceError):
    """The chain is not in sync, so nothing new is signed; what is due is tried again when it is."""

    fault = Fault.MONERO
    retry = Retry.SAFE


class CustodyNotOffered(ServiceError):
    """The service does not yet work with parties who keep their own keys."""

    fault = Fault.CALLER


class MessagesNotOffered(CustodyNotOffered):
    """Messages are for roles that keep their own keys, which is not offered yet: every key here is hosted."""


class NodesNotOffered(ServiceError):
    """Further nodes are not offered yet: run one 'escrowd serve' on a database."""

    fault = Fault.OPERATOR
