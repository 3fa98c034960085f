"""One escrow with all that is behind it: what somebody needs who was woken at three at night."""

from datetime import datetime
from pathlib import Path

import msgspec

from escrowd.api.showing import escrow_shown
from escrowd.cli.inspecting import Inspection
from escrowd.cli.showing.audit import ShownEntry, entry_shown
from escrowd.cli.showing.held import ShownHeld, held_shown
from escrowd.cli.showing.next_steps import NextStep, next_steps
from escrowd.domain.payouts.records import Attempt
from escrowd.service.event_view import event_json
from escrowd.store.inspection import KeySetState, WaitingEffect, WorkState
from escrowd.wire import escrows as wire
from escrowd.wire.values import timestamp


class ShownWork(msgspec.Struct, frozen=True):
    """How the work on it stands. ``due_at`` is ``None`` while it waits for something to happen."""

    due_at: datetime | None
    owner: str | None
    attempts_failed: int
    last_error: str
    preferred_node: str | None


class ShownEffect(msgspec.Struct, frozen=True):
    """Something that is still to be done because of the step to ``version``."""

    effect: str
    version: int
    since: datetime
    cause: str


class ShownAttempt(msgspec.Struct, frozen=True):
    """One try at a payout. What was signed is not told, only its transactions."""

    payout: str
    number: int
    step: str
    proposer: str
    cosigner: str
    txids: list[str]
    refused: str


class ShownKeySet(msgspec.Struct, frozen=True):
    """How its wallets stand."""

    status: str
    node: str
    at: datetime
    why: str


class Report(msgspec.Struct, frozen=True):
    """Everything known of one escrow, as programs see it. ``escrow`` is as the API shows it to the operator."""

    escrow: wire.Escrow
    next_steps: list[NextStep]
    #: What happened, what is left and what each command would do, where the escrow is held.
    held: ShownHeld | None
    waiting_effects: list[ShownEffect]
    work: ShownWork | None
    attempts: list[ShownAttempt]
    keys: ShownKeySet | None
    log: list[msgspec.Raw]
    audit: list[ShownEntry]
    living_nodes: list[str]


def report(inspection: Inspection, config: Path | None = None) -> Report:
    """Return everything known of an escrow for a program; ``config`` is the file that commands have to name."""
    view = inspection.view
    return Report(
        escrow=escrow_shown(view),
        next_steps=list(next_steps(view.escrow, inspection.allowed_actions, config)),
        held=held_shown(inspection, config),
        waiting_effects=[_effect(each) for each in inspection.effects],
        work=_work(inspection.work),
        attempts=[_attempt(each) for each in inspection.attempts],
        keys=_keys(inspection.keys),
        log=[msgspec.Raw(event_json(each)) for each in inspection.log],
        audit=[entry_shown(each) for each in inspection.audit],
        living_nodes=list(inspection.nodes),
    )


# ---------------------------------------------------------------------------------------------------------------------


def _effect(waiting: WaitingEffect) -> ShownEffect:
    effect = waiting.effect
    return ShownEffect(str(effect.effect), effect.version, timestamp(waiting.since), effect.cause)


def _work(work: WorkState | None) -> ShownWork | None:
    if work is None:
        return None
    due = None if work.due_at is None else timestamp(work.due_at)
    return ShownWork(due, work.owner, work.attempt, work.last_error, work.affinity)


def _attempt(attempt: Attempt) -> ShownAttempt:
    txids = [each.txid for each in attempt.transactions]
    proposer, cosigner = str(attempt.proposer), str(attempt.cosigner)
    return ShownAttempt(attempt.payout, attempt.number, str(attempt.step), proposer, cosigner, txids, attempt.refused)


def _keys(keys: KeySetState | None) -> ShownKeySet | None:
    return None if keys is None else ShownKeySet(keys.status, keys.node, timestamp(keys.at), keys.why)
