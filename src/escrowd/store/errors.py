"""Errors of the store. What it refuses for the sake of a law is in :mod:`escrowd.domain.conflicts`."""

from escrowd.domain.errors import EscrowdError, Fault, Retry


class StoreError(EscrowdError):
    """The database did not do its work. Nothing of the transaction was stored."""

    fault = Fault.OPERATOR


class DatabaseUnavailable(StoreError):
    """The database is out of reach, locked, or ended the connection. Nothing was stored, or it is not known."""

    retry = Retry.UNKNOWN


class UnknownShape(StoreError):
    """What is stored has a form that this version does not know: an older program on a newer database."""


class WrongSchema(StoreError):
    """The database was made by another version, and has to be migrated."""


class NodeNameTaken(StoreError):
    """Another process works under the name of this node."""
