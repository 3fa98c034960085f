"""Puts together the watcher of the chain."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ChainSettings:
    """How the chain is watched. Times are seconds."""

    #: How often daemon and pool are asked for news.
    poll_interval: float = 0.5
