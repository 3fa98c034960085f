"""Errors of backups. Whatever is refused, nothing was written."""

from escrowd.domain.errors import EscrowdError, Fault, Retry


class BackupError(EscrowdError):
    """A backup could not be made or used."""

    fault = Fault.OPERATOR


class BackupNotWritten(BackupError):
    """The file could not be written."""

    retry = Retry.SAFE


class BackupExists(BackupError):
    """There is a file of this name. Backups are never overwritten."""


class BackupUnreadable(BackupError):
    """The file cannot be read, or is no backup."""


class BackupDamaged(BackupError):
    """The backup is not as it was written: something was changed, removed or cut off."""


class OtherVaultKey(BackupError):
    """The backup belongs to another vault key."""


class NotEmpty(BackupError):
    """A backup is restored into an empty database only."""


class LogBroken(BackupError):
    """The histories in a backup do not hold together, although it is as it was written."""
