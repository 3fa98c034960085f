"""From the domain to the wire: how an escrow, its money and its payouts are shown."""

from typing import Any, Final, cast

from escrowd.domain.access import Party
from escrowd.domain.escrow.assess import Ledger, is_spendable, judge_lost
from escrowd.domain.escrow.facts import Escrow, Moment
from escrowd.domain.escrow.status import DeadlineName
from escrowd.domain.escrow.terms import Custody, Terms
from escrowd.domain.money import format_xmr
from escrowd.domain.parties import WalletRole
from escrowd.domain.payouts.records import Payout, PayoutKind, PayoutStatus, PayoutTransaction
from escrowd.domain.secret import Secret
from escrowd.service.front.escrows import CallersView
from escrowd.service.front.preview import Previewed
from escrowd.wire import escrows as wire
from escrowd.wire.values import timestamp


def escrow_shown(view: CallersView) -> wire.Escrow:
    """Show an escrow to the caller that the view is for."""
    escrow, terms, ledger = view.escrow, view.escrow.terms, view.account.ledger
    fee, hold, proposal = terms.fee, escrow.hold, escrow.proposal
    return wire.Escrow(
        id=escrow.id,
        status=_text(escrow.status),
        version=escrow.version,
        amount=terms.amount,
        network=_text(terms.network),
        deposit=_deposit(view),
        parties=_parties(terms),
        custody=custody_promise(terms),
        fee=wire.Fee(basis_points=fee.basis_points, address=fee.address) if fee else None,
        payout=_ordered(view),
        returns=tuple(_payout(each, ledger) for each in view.account.payouts if each.kind is PayoutKind.RETURN),
        proposal=wire.SplitProposal(by=_text(proposal.by), vendor_share=proposal.vendor_share) if proposal else None,
        hold=wire.Hold(reason=hold.reason, details=hold.details, since=_text(hold.since)) if hold else None,
        deadlines=_deadlines(escrow, view.moment),
        allowed_actions=cast("tuple[wire.ActionName, ...]", view.allowed_actions),
        reference=terms.reference,
        description=terms.description,
        metadata=dict(terms.metadata),
        created_at=timestamp(escrow.created_at),
    )


def created_shown(view: CallersView, links: tuple[wire.PartyLink, ...]) -> wire.CreatedEscrow:
    """Show a new escrow to whoever made it, with the links of its parties."""
    shown = escrow_shown(view)
    return wire.CreatedEscrow(**{name: getattr(shown, name) for name in wire.Escrow.model_fields}, links=links)


def link_shown(public_url: str, party: Party, token: Secret) -> wire.PartyLink:
    """Show the link of a party. The token stands behind the '#', which browsers send to nobody and no log shows."""
    text = token.reveal()
    return wire.PartyLink(role=_text(party.role), token=text, url=f"{public_url}/escrows/{party.escrow}#{text}")


def preview_shown(action: str, previewed: Previewed) -> wire.PreviewedPayout:
    """Show what a payout would pay."""
    return wire.PreviewedPayout(
        action=action,
        kind=_text(previewed.kind),
        total=previewed.total,
        network_fee=previewed.network_fee,
        left_out=previewed.left_out,
        outputs=tuple(wire.PaidOutput(to=each.to, amount=each.amount) for each in previewed.outputs),
    )


def custody_promise(terms: Terms) -> wire.CustodyPromise:
    """Say plainly what the custody of the keys means."""
    hosted = [role for role in WalletRole if terms.custody[role] is Custody.HOSTED]
    can_spend = len(hosted) >= KEYS_TO_SPEND
    return wire.CustodyPromise(operator_can_spend=can_spend, statement=_STATEMENTS[len(hosted)])


#: So many of the three keys move the money.
KEYS_TO_SPEND: Final = 2

# ---------------------------------------------------------------------------------------------------------------------

_STATEMENTS: Final = (
    "The parties keep all three keys. The operator of this service cannot move the money.",
    "The operator of this service keeps one of three keys. It cannot move the money without one of the parties.",
    "The operator of this service keeps two of three keys, which are enough to move the money. You have to trust it, "
    "and the safety of its machines.",
    "The operator of this service keeps all three keys and can move the money. You have to trust it, and the safety "
    "of its machines.",
)
_FIELD_OF_DEADLINE: Final = {
    DeadlineName.KEYING: "keying_ends_at",
    DeadlineName.FUNDING: "funding_ends_at",
    DeadlineName.DELIVERY: "delivery_ends_at",
    DeadlineName.INSPECTION: "inspection_ends_at",
    DeadlineName.RULING: "ruling_ends_at",
}


def _text(word: str) -> Any:
    """Give a word of the domain to a field that takes certain words: it is checked there."""
    return str(word)


def _deposit(view: CallersView) -> wire.Deposit:
    escrow, ledger = view.escrow, view.account.ledger
    amount, sent = escrow.terms.amount, _sent(view)
    left = [each.output for each in view.judgements if each.reason is None and each.output.key not in sent]
    return wire.Deposit(
        address=escrow.address,
        uri=f"monero:{escrow.address}?tx_amount={format_xmr(amount)}" if escrow.address else None,
        expected=amount,
        tolerance=escrow.terms.tolerance,
        seen=escrow.deposit.seen,
        confirmed=escrow.deposit.confirmed,
        spendable=sum(each.amount for each in left if is_spendable(each, ledger)),
        missing=max(0, amount - escrow.deposit.seen),
        required_confirmations=escrow.terms.confirmations,
        payments=tuple(
            wire.DepositPayment(
                txid=each.output.txid,
                output=each.output.index,
                amount=each.output.amount,
                height=each.output.height,
                confirmations=each.confirmations,
                counts=each.reason is None,
                reason=str(each.reason) if each.reason else None,
            )
            for each in (*view.judgements, *judge_lost(ledger))
        ),
    )


def _sent(view: CallersView) -> frozenset[str]:
    """Return the one-time keys of what payouts have sent: it is in the deposit for ever, and can be spent no more."""
    sent = (PayoutStatus.BROADCAST, PayoutStatus.CONFIRMED)
    return frozenset(key for each in view.account.payouts if each.status in sent for key in each.output_keys)


def _parties(terms: Terms) -> wire.Parties:
    custody = terms.custody
    return wire.Parties(
        buyer=wire.Buyer(custody=_text(custody[WalletRole.BUYER]), refund_address=terms.refund_address),
        vendor=wire.Vendor(custody=_text(custody[WalletRole.VENDOR]), payout_address=terms.payout_address),
        arbiter=wire.Arbiter(custody=_text(custody[WalletRole.ARBITER])),
    )


def _ordered(view: CallersView) -> wire.Payout | None:
    """Show the payout that was decided upon: the last one that was not given up."""
    standing = [
        each
        for each in view.account.payouts
        if each.kind is not PayoutKind.RETURN and each.status is not PayoutStatus.ABANDONED
    ]
    return _payout(standing[-1], view.account.ledger) if standing else None


def _payout(payout: Payout, ledger: Ledger) -> wire.Payout:
    return wire.Payout(
        id=payout.id,
        kind=_text(payout.kind),
        status=_text(payout.status),
        transactions=tuple(_transaction(each, ledger) for each in payout.transactions),
    )


def _transaction(transaction: PayoutTransaction, ledger: Ledger) -> wire.PayoutTransaction:
    # Its height is stored with the next step of the escrow; the spends of a block are stored at once.
    heights = [each.height for each in ledger.spends if each.txid == transaction.txid and each.height is not None]
    height = heights[0] if heights else None
    return wire.PayoutTransaction(
        txid=transaction.txid,
        network_fee=transaction.network_fee,
        confirmations=0 if height is None else max(0, ledger.chain_height - height),
        outputs=tuple(wire.PaidOutput(to=each.to, amount=each.amount) for each in transaction.outputs),
    )


def _deadlines(escrow: Escrow, moment: Moment) -> wire.Deadlines:
    deadline = escrow.deadline
    if deadline is None:
        return wire.Deadlines()
    ends_at = timestamp(moment.utc + max(0, deadline.due - moment.running))
    return wire.Deadlines(**{_FIELD_OF_DEADLINE[deadline.name]: ends_at})
