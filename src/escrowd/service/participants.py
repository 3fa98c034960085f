"""Who takes part in making the keys of an escrow: wallets that this service drives, and parties outside."""

from typing import Final

from escrowd.domain.escrow.terms import Custody
from escrowd.domain.keying import THRESHOLD, KeyingAttempt, KeyingRound, Report, transcript, write_report
from escrowd.domain.parties import WalletRole
from escrowd.domain.secret import Secret
from escrowd.monero.results_wallet import KeyKind
from escrowd.service.keying.ports import FreshWallet


class HostedParticipant:
    """Answers from a wallet that was made for this attempt.

    The wallet stays open from its making to its last exchange. Multisig is allowed in memory only until
    ``make_multisig`` has saved it, and a wallet that was closed before that answers -48 ever after.
    """

    custody: Final = Custody.HOSTED

    def __init__(self, role: WalletRole, wallet: FreshWallet) -> None:
        self.role: Final = role
        self._wallet = wallet

    async def answer(self, due: KeyingRound, attempt: KeyingAttempt) -> Secret | None:
        """Return the wallet's message of the round that is due.

        Raises:
            MultisigRefused: the wallet takes a message of another participant for none, or for a wrong one.
            MoneroError: the wallet did not answer.

        """
        client, password = self._wallet.client, self._wallet.password
        match due:
            case KeyingRound.PREPARE:
                return await client.prepare_multisig()
            case KeyingRound.MAKE:
                infos = attempt.others(due, self.role)
                return (await client.make_multisig(infos, THRESHOLD, password)).multisig_info
            case KeyingRound.EXCHANGE_1:
                return (await client.exchange_multisig_keys(attempt.others(due, self.role), password)).multisig_info
            case KeyingRound.EXCHANGE_2:
                await client.exchange_multisig_keys(attempt.others(due, self.role), password)
                return write_report(await self._report(attempt))

    async def _report(self, attempt: KeyingAttempt) -> Report:
        client = self._wallet.client
        status = await client.is_multisig()
        return Report(
            address=await client.get_address(),
            view_key=await client.query_key(KeyKind.VIEW_KEY),
            transcript=transcript(attempt),
            ready=status.multisig and status.ready,
            threshold=status.threshold,
            total=status.total,
        )


class OutsideParticipant:
    """A party that keeps its own key. Its messages are stored when they come in; see :mod:`.keying.messages`."""

    custody: Final = Custody.OWN

    def __init__(self, role: WalletRole) -> None:
        self.role: Final = role

    async def answer(self, due: KeyingRound, attempt: KeyingAttempt) -> Secret | None:  # noqa: ARG002 - as Participant
        """Return ``None``: the message is not here yet."""
        return None
