"""``escrowd sandbox``: the whole service on a private chain, in one command."""

from pathlib import Path
from typing import Any

import httpx
import psutil

from escrowd.monero.programs import MoneroProgram, find_program, release_of
from escrowd.testing.wallet_sets import wallet_sets
from tests.regtest.service.commands import as_json, line_with, started, until, wallet_processes

ADDRESSES = [each.address for each in wallet_sets()[-2:]]
TERMS = {
    "amount": str(10**12),
    "buyer": {"refund_address": ADDRESSES[0]},
    "vendor": {"payout_address": ADDRESSES[1]},
    "deadlines": {"inspection": 3600},
}


def client_of(line: dict[str, Any]) -> httpx.AsyncClient:
    headers = {"Authorization": f"Bearer {line['api_key']}"}
    return httpx.AsyncClient(base_url=line["api_url"], headers=headers, timeout=90)


async def test_sandbox_forgets_or_leaves_something_behind(lab: object, tmp_path: Path) -> None:
    """A sandbox says in one line where it is; its next run goes on where it ended; nothing of it runs afterwards."""
    arguments = ("sandbox", "--data-dir", str(tmp_path / "box"), "--port", "0", "--json")
    async with started(*arguments) as first:
        line = as_json(await line_with(first.stdout, "api_url"))
        assert set(line) == {"api_url", "web_url", "api_key", "daemon_url", "monero_version", "pid"}
        assert line["monero_version"] == str(release_of(find_program(MoneroProgram.WALLET_RPC)))
        assert line["pid"] == first.pid
        async with client_of(line) as client:
            made = (await client.post("/v1/escrows", json=TERMS)).json()
            assert made["status"] == "awaiting_funding", "the stock of a new sandbox is full"
            assert (await client.get(line["web_url"])).status_code == 200
        async with httpx.AsyncClient() as daemon:
            before = (await daemon.post(f"{line['daemon_url']}/get_height")).json()["height"]
    assert first.returncode == 0

    async with started(*arguments) as second:
        again = as_json(await line_with(second.stdout, "api_url"))
        assert again["api_key"] == line["api_key"]
        async with client_of(again) as client:
            known = (await client.get(f"/v1/escrows/{made['id']}")).json()
            assert known["deposit"]["address"] == made["deposit"]["address"]
            assert (await client.post("/sandbox/mine", json={"blocks": 1})).json()["height"] == before + 1
    assert second.returncode == 0
    assert wallet_processes(tmp_path) == []
    assert [
        each for each in psutil.process_iter(["cmdline"]) if str(tmp_path) in " ".join(each.info["cmdline"] or ())
    ] == []


async def test_clock_of_a_sandbox_moves_no_deadline(lab: object, tmp_path: Path) -> None:
    """A jump of the clock ends an inspection period: the vendor is paid without a word of the buyer."""
    async with started("sandbox", "--data-dir", str(tmp_path / "box"), "--port", "0", "--json") as process:
        line = as_json(await line_with(process.stdout, "api_url"))
        async with client_of(line) as client:
            made = (await client.post("/v1/escrows", json=TERMS)).json()
            path, (_, vendor, _) = f"/v1/escrows/{made['id']}", made["links"]
            fund = {"address": made["deposit"]["address"], "amount": TERMS["amount"]}
            assert (await client.post("/sandbox/fund", json=fund)).status_code == 200
            await client.post("/sandbox/mine", json={"blocks": 10})
            await until(client, path, lambda answer: answer["status"] == "funded")
            as_vendor = {"Authorization": f"Bearer {vendor['token']}"}
            assert (await client.post(f"{path}/deliver", headers=as_vendor)).status_code == 200
            before = (await client.post("/sandbox/clock", json={"advance_seconds": 3000})).json()
            after = (await client.post("/sandbox/clock", json={"advance_seconds": 600})).json()
            assert after["running_seconds"] >= before["running_seconds"] + 600
            paid = await until(client, path, lambda answer: (answer["payout"] or {}).get("status") == "broadcast")
            assert paid["payout"]["kind"] == "release"
            await client.post("/sandbox/mine", json={"blocks": 10})
            await until(client, path, lambda answer: answer["status"] == "completed")
            refused = await client.post("/sandbox/fund", json={"address": "nowhere", "amount": "1"})
            assert (refused.status_code, refused.json()["code"]) == (422, "invalid_address")
