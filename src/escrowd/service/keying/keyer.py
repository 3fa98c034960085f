"""Makes the three keys of an escrow: asks the participants round by round, and lets the keys count when all agree.

What the law is, and why:

1. Nothing is shown before the end. There is an address when all three wallets are ready as 2 of 3, agree on address,
   view key and transcript, and the hosted keys are stored, forced to the medium and backed up under seal.
2. A hosted wallet that is gone before the end is never opened again: what it had in memory is not in its file. The
   attempt is over, and the next one begins with the first round and new wallets for all three.
3. That an attempt is over is stored before the files of its wallets are touched.
4. Hosted wallets are made when every party outside has sent its first message: who never does costs nothing.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType, TracebackType
from typing import Final, Self

import structlog

from escrowd.domain.errors import EscrowdError, Fault
from escrowd.domain.escrow.terms import Custody
from escrowd.domain.identifiers import EscrowId
from escrowd.domain.keying import (
    AgreedKeys,
    Ask,
    HostedKey,
    KeyingAttempt,
    KeyingRecord,
    KeyingRound,
    KeySet,
    MessageKey,
    agreed,
    restore_height,
    view_key_purpose,
)
from escrowd.domain.networks import Network
from escrowd.domain.parties import WalletRole
from escrowd.domain.secret import Secret
from escrowd.service.crash_points import CrashPoint, crash_point
from escrowd.service.keying.messages import sealed, unsealed
from escrowd.service.keying.ports import (
    DaemonHeight,
    FreshWallets,
    KeyingJournal,
    Participant,
    Sealer,
    WalletWorkshop,
)
from escrowd.service.participants import HostedParticipant, OutsideParticipant

log = structlog.get_logger()

#: Attempts that parties outside may spoil. Each costs seconds of every core.
MOST_ATTEMPTS: Final = 10


class TooManyAttempts(EscrowdError):
    """So many attempts at the keys of this escrow failed that there will be no more."""

    fault = Fault.CALLER


@dataclass(frozen=True, slots=True)
class Job:
    """Whose keys are made, by whom, and where that is stored."""

    escrow: EscrowId
    custody: Mapping[WalletRole, Custody]
    journal: KeyingJournal
    #: Called before anything leaves this process. Raises where somebody else has taken over.
    check: Callable[[], None] = lambda: None

    def roles(self, custody: Custody) -> tuple[WalletRole, ...]:
        """Return the roles with this custody."""
        return tuple(role for role in WalletRole if self.custody[role] is custody)


class Keyer:
    """Advances set-ups as far as they go. Enter it with ``async with``.

    One call at a time for each escrow. Mutable state: ``_live`` (the hosted wallets of attempts under way) and
    ``_failed`` (why the last attempt of an escrow was given up, until the next one begins).
    """

    def __init__(self, workshop: WalletWorkshop, sealer: Sealer, height: DaemonHeight, network: Network) -> None:
        self._workshop = workshop
        self._sealer = sealer
        self._height = height
        self._network = network
        self._live: dict[EscrowId, _Live] = {}
        self._failed: dict[EscrowId, str] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the wallets that wait for parties outside. Their attempts begin anew at the next start."""
        await asyncio.gather(*(self._drop(escrow) for escrow in tuple(self._live)))

    async def advance(self, job: Job) -> KeySet | Ask:
        """Carry a set-up on, and return the finished keys, or for whose messages it waits.

        Raises:
            KeysDisagree: the participants did not make one wallet together. The next call begins anew.
            TooManyAttempts: that has happened too often.
            EscrowdError: something failed; the next call goes on or begins anew.

        """
        record = await job.journal.load(job.escrow)
        if record is not None and record.keys is not None:
            return record.keys
        try:
            record = await self._current(job, record)
            return await self._go_on(job, record)
        except BaseException as error:
            await asyncio.shield(self._drop(job.escrow))
            log.warning("keying.interrupted", escrow=job.escrow, error=type(error).__name__)
            raise

    async def give_up(self, escrow: EscrowId) -> None:
        """End what is under way for an escrow that will have no keys, and put its wallet files aside.

        To be called only when that is stored.
        """
        self._failed.pop(escrow, None)
        await self._drop(escrow)
        await self._workshop.withdraw(escrow)

    # --- attempts --------------------------------------------------------------------------------------------------

    async def _current(self, job: Job, record: KeyingRecord | None) -> KeyingRecord:
        """Return the attempt to go on with: the stored one, or a new one where its hosted wallets are gone."""
        if record is None:
            return await self._begin(job, 1, "")
        live = self._live.get(job.escrow)
        if live is not None and live.number != record.number:
            await self._drop(job.escrow)
            live = None
        why = self._failed.pop(job.escrow, "")
        hosted = job.roles(Custody.HOSTED)
        if not why and live is None and any(role in hosted for _, role in record.messages):
            why = "the wallets of this service were closed before the end"
        if why:
            record = await self._begin(job, record.number + 1, why)
        if live is None:
            # Left behind by an attempt that is stored as over, or by a crash before its first message was stored.
            await self._workshop.withdraw(job.escrow)
        return record

    async def _begin(self, job: Job, number: int, why: str) -> KeyingRecord:
        if number > MOST_ATTEMPTS and job.roles(Custody.OWN):
            raise TooManyAttempts(f"{number - 1} attempts at the keys failed; the last one: {why}")
        # Before any message, so before anybody can know the address and pay to it.
        height = restore_height(await self._height())
        await job.journal.begin(job.escrow, number, height, why)
        log.info("keying.begun", escrow=job.escrow, attempt=number, why=why)
        return KeyingRecord(number, height, why)

    async def _drop(self, escrow: EscrowId) -> None:
        live = self._live.pop(escrow, None)
        if live is not None:
            await live.wallets.drop()

    # --- rounds ----------------------------------------------------------------------------------------------------

    async def _go_on(self, job: Job, record: KeyingRecord) -> KeySet | Ask:
        attempt = unsealed(self._sealer, job.escrow, record)
        outside = job.roles(Custody.OWN)
        while (due := attempt.due()) is not None:
            waits_for = tuple(role for role in due.roles if role in outside)
            if waits_for and due.round is KeyingRound.PREPARE:
                return Ask(due.round, waits_for)
            answers = await self._answers(job, due, attempt)
            if not answers:
                return Ask(due.round, waits_for)
            job.check()
            await job.journal.store(
                job.escrow, attempt.number, sealed(self._sealer, job.escrow, attempt.number, answers)
            )
            attempt = attempt.with_messages(answers)
            if due.round in _POINTS:
                crash_point(_POINTS[due.round])
        return await self._finish(job, record, attempt)

    async def _answers(self, job: Job, due: Ask, attempt: KeyingAttempt) -> dict[MessageKey, Secret]:
        """Ask all whose message is missing, at the same time, and return what they said."""
        participants = await self._participants(job, due, attempt.number)
        job.check()
        answers = await asyncio.gather(
            *(each.answer(due.round, attempt) for each in participants), return_exceptions=True
        )
        said: dict[MessageKey, Secret] = {}
        for participant, answer in zip(participants, answers, strict=True):
            if isinstance(answer, BaseException):
                self._note_failure(job.escrow, f"the {participant.role}'s wallet failed in the round {due.round}")
                raise answer
            if answer is not None:
                said[due.round, participant.role] = answer
        return said

    async def _participants(self, job: Job, due: Ask, number: int) -> list[Participant]:
        hosted = [role for role in due.roles if role in job.roles(Custody.HOSTED)]
        participants: list[Participant] = [OutsideParticipant(role) for role in due.roles if role not in hosted]
        if hosted:
            wallets = await self._wallets(job, number)
            participants += [HostedParticipant(role, wallets.wallet(role)) for role in hosted]
        return participants

    async def _wallets(self, job: Job, number: int) -> FreshWallets:
        live = self._live.get(job.escrow)
        if live is None:
            job.check()
            wallets = await self._workshop.make(job.escrow, job.roles(Custody.HOSTED))
            live = self._live[job.escrow] = _Live(number, wallets)
            crash_point(CrashPoint.K1_CREATED)
        return live.wallets

    # --- the end ---------------------------------------------------------------------------------------------------

    async def _finish(self, job: Job, record: KeyingRecord, attempt: KeyingAttempt) -> KeySet:
        try:
            agreement = agreed(attempt, self._network)
            hosted = await self._kept(job, agreement)
        except EscrowdError as error:
            self._note_failure(job.escrow, str(error))
            raise
        keys = KeySet(
            escrow=job.escrow,
            address=agreement.address,
            sealed_view_key=self._sealer.seal(agreement.view_key, view_key_purpose(job.escrow)),
            restore_height=record.restore_height,
            transcript=agreement.transcript,
            hosted=hosted,
        )
        crash_point(CrashPoint.K5_READY)
        job.check()
        await job.journal.finish(job.escrow, attempt.number, keys)
        log.info("keying.done", escrow=job.escrow, attempt=attempt.number)
        crash_point(CrashPoint.K6_PUBLISHED)
        return keys

    async def _kept(self, job: Job, agreement: AgreedKeys) -> tuple[HostedKey, ...]:
        live = self._live.get(job.escrow)
        if live is None:
            return ()
        hosted = await live.wallets.keep(agreement.address)
        # From now on they are the sessions', whatever becomes of the rest: where the keys turn out not to be stored,
        # the next attempt withdraws them.
        del self._live[job.escrow]
        return hosted

    def _note_failure(self, escrow: EscrowId, why: str) -> None:
        self._failed[escrow] = why


# ---------------------------------------------------------------------------------------------------------------------

_POINTS: Final = MappingProxyType(
    {
        KeyingRound.PREPARE: CrashPoint.K2_PREPARED,
        KeyingRound.MAKE: CrashPoint.K3_MADE,
        KeyingRound.EXCHANGE_1: CrashPoint.K4_EXCHANGED,
    }
)


@dataclass(frozen=True, slots=True)
class _Live:
    """The open hosted wallets of an attempt."""

    number: int
    wallets: FreshWallets
