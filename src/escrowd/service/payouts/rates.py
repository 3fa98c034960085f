"""What the network asks for at the moment, and what it asked for lately."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Final, Self

import structlog

from escrowd.domain.errors import EscrowdError
from escrowd.domain.payouts.fees import FeeRate
from escrowd.monero.daemon import MoneroDaemon
from escrowd.monero.results_signing import Priority

log = structlog.get_logger()

#: Seconds between two polls. The daemon's estimate changes with the median size of the last 100 blocks at the fastest
#: (``Blockchain::get_dynamic_base_fee_estimate_2021_scaling``), so half a block's time loses nothing.
POLL_INTERVAL: Final = 60.0
#: Seconds for which the last known rate is used while the daemon does not answer: about 30 blocks.
MAX_AGE: Final = 3600.0


async def normal_fee_rate(daemon: MoneroDaemon) -> FeeRate:
    """Return the rate of normal priority, at which every payout is made. Raises MoneroError."""
    estimate = await daemon.get_fee_estimate()
    per_byte = estimate.fees[Priority.NORMAL - 1] if len(estimate.fees) >= Priority.NORMAL else estimate.fee
    return FeeRate(per_byte, estimate.quantization_mask)


class FeeRates:
    """Polls the fee rate while it is entered with ``async with``, so that database transactions need no RPC for it."""

    def __init__(
        self,
        fetch: Callable[[], Awaitable[FeeRate]],
        interval: float = POLL_INTERVAL,
        max_age: float = MAX_AGE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._fetch = fetch
        self._interval = interval
        self._max_age = max_age
        self._clock = clock
        #: The last rate that the daemon named, and when.
        self._known: tuple[FeeRate, float] | None = None
        self._polling: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self.poll()
        self._polling = asyncio.create_task(self._keep_polling(), name="fee rates")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._polling is not None:
            self._polling.cancel()
            await asyncio.gather(self._polling, return_exceptions=True)

    def normal(self) -> FeeRate | None:
        """Return the rate of normal priority; ``None`` where the daemon has not named it for too long."""
        if self._known is None or self._clock() - self._known[1] > self._max_age:
            return None
        return self._known[0]

    async def poll(self) -> None:
        """Poll once. Where that fails, the last known rate stays until it is too old."""
        try:
            self._known = (await self._fetch(), self._clock())
        except EscrowdError as error:
            log.warning("fee_rate.not_known", error=str(error))

    async def _keep_polling(self) -> None:
        while True:
            await asyncio.sleep(self._interval)
            try:
                await self.poll()
            except Exception as error:
                log.error("fee_rate.poll_broke", exc_info=error)
