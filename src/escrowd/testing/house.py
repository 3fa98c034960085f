"""Wallet sessions over a lab: the real pool, vault and manager, with kept wallets in place of an escrow's own.

A :class:`HouseFile` says all of it in one file, so that a second process can run the same house and be killed.
"""

import asyncio
import json
import os
import secrets
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Self

import msgspec

from escrowd.bootstrap import RunningHouse, WalletHouse, open_wallet_house
from escrowd.domain.identifiers import RANDOM_BYTES, EscrowId, Prefix, make_identifier
from escrowd.domain.secret import Secret
from escrowd.monero.programs import MoneroProgram, find_program
from escrowd.testing.fakes import DictRecords
from escrowd.testing.lab import RegtestLab
from escrowd.testing.wallet_process import regtest_program
from escrowd.testing.wallet_sets import WalletSet, install, wallet_sets
from escrowd.wallets.records import WalletRecord, password_purpose
from escrowd.wallets.running import RunningProcess
from escrowd.wallets.settings import SessionSettings
from escrowd.wallets.vault import KEY_BYTES, Vault
from escrowd.wallets.vault_key import ENVIRONMENT_VARIABLE, key_from_environment


class HouseFile(msgspec.Struct, frozen=True):
    """Where a house runs and which wallets it keeps. The vault key is not in it."""

    wallet_rpc: str
    daemon_port: int
    wallet_directory: str
    run_directory: str
    wallets: tuple[WalletRecord, ...]

    def house(self, vault: Vault, settings: SessionSettings | None = None) -> WalletHouse:
        """Return the house that this describes."""
        records: dict[EscrowId, tuple[WalletRecord, ...]] = {}
        for record in self.wallets:
            records[record.escrow] = (*records.get(record.escrow, ()), record)
        program = regtest_program(self.daemon_port, Path(self.wallet_directory), Path(self.wallet_rpc))
        return WalletHouse(
            program, Path(self.run_directory), vault, DictRecords(records), settings or SessionSettings(max_sessions=10)
        )


class LabHouse:
    """A directory with kept wallets for a number of escrows, over the chain of a lab."""

    def __init__(self, file: HouseFile, sets: Mapping[EscrowId, WalletSet], key: bytes, directory: Path) -> None:
        self.file = file
        self.sets = sets
        self.directory = directory
        self._key = key

    @classmethod
    def build(cls, lab: RegtestLab, directory: Path, escrows: int) -> Self:
        """Install wallets for so many escrows; with more escrows than kept sets, some share their keys."""
        wallet_directory = directory / "wallets"
        wallet_directory.mkdir(mode=0o700, parents=True)
        key = secrets.token_bytes(KEY_BYTES)
        kept = wallet_sets()
        sets = [
            install(kept[number % len(kept)], wallet_directory, None if number < len(kept) else _another_escrow(number))
            for number in range(escrows)
        ]
        file = HouseFile(
            wallet_rpc=str(find_program(MoneroProgram.WALLET_RPC)),
            daemon_port=lab.daemon_endpoint.port,
            wallet_directory=str(wallet_directory),
            run_directory=str(directory / "run"),
            wallets=tuple(record for each in sets for record in _records(each, Vault(key))),
        )
        return cls(file, {each.escrow: each for each in sets}, key, directory)

    def with_program(self, wallet_rpc: Path) -> Self:
        """Return the same house with another monero-wallet-rpc, as after an exchange of the programs."""
        file = msgspec.structs.replace(self.file, wallet_rpc=str(wallet_rpc))
        return type(self)(file, self.sets, self._key, self.directory)

    @property
    def escrows(self) -> tuple[EscrowId, ...]:
        """The escrows whose wallets are here."""
        return tuple(self.sets)

    def house(self, settings: SessionSettings | None = None) -> WalletHouse:
        """Return the house, to be opened in this process."""
        return self.file.house(Vault(self._key), settings)

    @asynccontextmanager
    async def service(self, escrows: int) -> AsyncIterator[RunningProcess]:
        """Run the house in a process of its own, with sessions open for the first so many escrows, until killed.

        The wallet processes that it leaves are whoever's who opens the house next.
        """
        path = self.directory / "house.json"
        path.write_bytes(msgspec.json.encode(self.file))
        output = self.directory / "service.out"
        output.unlink(missing_ok=True)
        command = [sys.executable, "-m", "escrowd.testing.house", str(path), str(escrows)]
        running = RunningProcess.spawn(command, os.environ | {ENVIRONMENT_VARIABLE: self._key.hex()}, output)
        try:
            while "ready" not in (output.read_text() if output.exists() else ""):
                if not running.is_alive:
                    raise RuntimeError(f"the service ended before it was ready: {output.read_text()}")
                await asyncio.sleep(0.02)
            yield running
        finally:
            await running.kill()
            running.close()


async def serve_until_killed(file: HouseFile, escrows: int) -> None:
    """Open sessions for the first escrows of a house, say ``ready``, and stay."""
    settings = SessionSettings(max_sessions=max(10, escrows), lease_timeout=600)
    async with open_wallet_house(file.house(Vault(key_from_environment(os.environ)), settings)) as running:
        await open_sessions(running, tuple(dict.fromkeys(record.escrow for record in file.wallets))[:escrows])
        sys.stdout.write(json.dumps({"ready": escrows}) + "\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


async def open_sessions(running: RunningHouse, escrows: tuple[EscrowId, ...]) -> None:
    """Open the sessions of these escrows, all at once."""
    await asyncio.gather(*(running.manager.get_or_create_session(escrow, timeout=3600) for escrow in escrows))


# ---------------------------------------------------------------------------------------------------------------------


def _records(kept: WalletSet, vault: Vault) -> tuple[WalletRecord, ...]:
    return tuple(
        WalletRecord(
            escrow=kept.escrow,
            role=role,
            filename=wallet.filename,
            address=kept.address,
            sealed_password=vault.seal(Secret(wallet.worthless_password), password_purpose(wallet.filename)),
        )
        for role, wallet in kept.wallets.items()
    )


def _another_escrow(number: int) -> EscrowId:
    return EscrowId(make_identifier(Prefix.ESCROW, number, number.to_bytes(RANDOM_BYTES, "big")))


if __name__ == "__main__":
    house_file = msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=HouseFile)
    asyncio.run(serve_until_killed(house_file, int(sys.argv[2])))
