"""Puts together the API over a running service."""

import dataclasses
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from typing_extensions import override

from escrowd.api.changes import Changes
from escrowd.api.parts import ApiParts, ApiSettings
from escrowd.api.rates import Doorkeeper, Rates
from escrowd.bootstrap.service import RunningService
from escrowd.domain.errors import EscrowdError
from escrowd.domain.identifiers import EscrowId
from escrowd.service.front.answering import Answering
from escrowd.service.front.callers import Callers
from escrowd.service.front.escrows import EscrowDesk
from escrowd.service.observing import Observer, nobody_wants_to_know
from escrowd.service.webhooks.endpoints import WebhookEndpoints
from escrowd.wallets.sessions import WalletSessionManager
from escrowd.wire.sessions import Session, SessionStats


@dataclass(frozen=True, slots=True)
class ApiLimits:
    """How much callers may ask for."""

    requests_per_minute: int = 600
    #: Streams and long polls that are open at the same time.
    most_waiting: int = 256


@contextmanager
def api_over(
    running: RunningService,
    settings: ApiSettings,
    limits: ApiLimits | None = None,
    observe: Observer = nobody_wants_to_know,
) -> Iterator[ApiParts]:
    """Put together what the routes work with; at the end of the block nobody waits any more."""
    limits = limits or ApiLimits()
    changes, rates = Changes(limits.most_waiting), Rates(limits.requests_per_minute)
    running.database.on_wake(changes.heard)
    running.metrics.register(WaitingCollector(changes))
    try:
        yield ApiParts(
            settings=settings,
            store=running.store,
            desk=EscrowDesk(running.orchestrator),
            callers=Callers(running.store, running.vault),
            answering=Answering(running.store, running.vault),
            changes=changes,
            rates=rates,
            doorkeeper=Doorkeeper(rates),
            sessions=_SessionDoor(running.manager),
            webhooks=WebhookEndpoints(running.vault, running.webhooks),
            metrics=running.metrics,
            look_at_stock=running.orchestrator.look_at_stock,
            fee_rate=running.fees.normal,
            readiness=partial(_readiness, running),
            warnings=running.admission.warnings,
            observe=observe,
        )
    finally:
        changes.end()


class WaitingCollector(Collector):
    """Counts who waits for events."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes

    @override
    def collect(self) -> Iterator[Metric]:
        """Yield the metric of this moment."""
        yield GaugeMetricFamily(
            "escrowd_http_waiting", "Streams and long polls that are open", value=self._changes.waiting
        )


# ---------------------------------------------------------------------------------------------------------------------


class _SessionDoor:
    """Shows the wallet sessions in the words of the wire. As :class:`escrowd.api.parts.SessionDoor`."""

    def __init__(self, manager: WalletSessionManager) -> None:
        self._manager = manager

    def all(self) -> tuple[Session, ...]:
        return tuple(
            Session(
                escrow=each.escrow,
                phase=str(each.phase),
                age=each.age,
                idle=each.idle,
                expires_in=each.expires_in,
            )
            for each in self._manager.list_sessions()
        )

    def stats(self) -> SessionStats:
        stats = self._manager.get_stats()
        plain = {name: getattr(stats, name) for name in SessionStats.model_fields if hasattr(stats, name)}
        return SessionStats(**plain, **dataclasses.asdict(stats.counters))

    async def close(self, escrow: EscrowId) -> None:
        await self._manager.close_session(escrow)


async def _readiness(running: RunningService) -> Mapping[str, str]:
    """Say what has to hold, so that an escrow that is made now would also be paid out, and what is wrong with it."""
    return {
        "database": "" if await _answers(running) else "the database does not answer: see the log, 'escrowd doctor'",
        "chain_in_sync": running.monitor.why_not_in_sync,
        "worker": "" if running.worker.is_working else "the worker has ended: see the log, and restart the service",
        "engine_supported": "; ".join(running.engine.state.verdict.refusals),
    }


async def _answers(running: RunningService) -> bool:
    try:
        async with running.store.reading() as tx:
            await tx.clock.now()
    except EscrowdError:
        return False
    return True
