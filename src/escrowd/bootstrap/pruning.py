"""Puts together the removal of what is not kept for ever."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from prometheus_client import CollectorRegistry

from escrowd.domain.retention import Retention
from escrowd.service.pruning import Pruner
from escrowd.service.pruning_metrics import PruningCollector
from escrowd.store.store import SqlStore


@asynccontextmanager
async def pruning(store: SqlStore, retention: Retention, metrics: CollectorRegistry) -> AsyncIterator[None]:
    """Remove what is old, in the background, until the end of the block."""
    async with Pruner(store, retention) as pruner:
        metrics.register(PruningCollector(pruner.removed))
        yield
