"""Webhooks from the command line: what is done is what the API does, and is written down the same way."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from sqlalchemy import select

from escrowd.domain.escrow.status import Status
from escrowd.domain.webhooks import Webhook
from escrowd.service.front.callers import OPERATOR
from escrowd.service.webhooks.endpoints import SWITCHED_OFF, WebhookEndpoints
from escrowd.service.webhooks.signing import secret_purpose
from escrowd.store import schema_access
from escrowd.store.database import Database
from escrowd.store.schema_webhooks import webhooks
from escrowd.store.store import SqlStore
from tests.contract.cli.conftest import Commands, live

URL: Final = "https://shop.example/hooks"
#: No endpoint has this id.
NOBODY: Final = "whk_01jd3v9k8z6x5w4t2r1q0p9n8m"


async def added(commands: Commands, *options: str) -> dict[str, Any]:
    """Add an endpoint, and return what was printed."""
    return dict((await commands.run("webhooks", "create", URL, *options, "--json")).json)


async def listed(commands: Commands) -> Any:
    return (await commands.run("webhooks", "list", "--json")).json["items"]


async def deliveries_of(commands: Commands, webhook: str, *options: str) -> list[dict[str, Any]]:
    page = (await commands.run("webhooks", "deliveries", webhook, *options, "--json")).json
    return list(page["items"])


async def stored(database: Database, webhook: str, commands: Commands) -> Webhook:
    async with SqlStore(database, "node-1").reading() as tx:
        return await WebhookEndpoints(commands.vault).get(tx, webhook)


async def audit_of(commands: Commands, subject: str) -> list[Mapping[str, Any]]:
    """Return what the audit has of an endpoint or a delivery: all by the operator of this machine."""
    noted = list((await commands.run("audit", "list", "--subject", subject, "--json")).json["items"])
    assert {each["caller"] for each in noted} <= {OPERATOR.name}
    assert all(each["cause"].startswith("command-") for each in noted)
    assert len({each["cause"] for each in noted}) == len(noted)
    return noted


def shown(made: Mapping[str, Any]) -> dict[str, Any]:
    """Return how an endpoint is shown after the time that its secret was."""
    return {name: value for name, value in made.items() if name != "secret"}


async def test_endpoint_of_the_command_line_is_another_one(commands: Commands, database: Database) -> None:
    """An endpoint is made, switched off and on, and forgotten; each command prints it, and the audit has each."""
    made = await added(commands, "--type", "escrow.split", "--type", "escrow.funded", "--description", "the shop")
    assert (made["url"], made["types"]) == (URL, ["escrow.funded", "escrow.split"])
    assert (made["description"], made["status"]) == ("the shop", "enabled")
    assert await listed(commands) == [shown(made)]
    off = (await commands.run("webhooks", "disable", made["id"], "--json")).json
    assert (off["status"], off["disabled_reason"]) == ("disabled", SWITCHED_OFF)
    assert await listed(commands) == [off]
    on = (await commands.run("webhooks", "enable", made["id"], "--json")).json
    assert on == shown(made)
    assert (await commands.run("webhooks", "delete", made["id"], "--json")).json == on
    assert await listed(commands) == []
    assert [each["action"] for each in await audit_of(commands, made["id"])] == [
        "create webhook",
        "update webhook",
        "update webhook",
        "delete webhook",
    ]


async def test_secret_is_shown_twice(commands: Commands, database: Database) -> None:
    """A secret is on standard output once, alone; no message, later command, file or row has it but under seal."""
    loud = {"ESCROWD_LOGS__LEVEL": "debug"}
    made = await commands.run("webhooks", "create", URL, environment=loud)
    (endpoint,) = await listed(commands)
    rotated = await commands.run("webhooks", "rotate-secret", endpoint["id"], environment=loud)
    secrets = [made.out.strip(), rotated.out.strip()]
    later = await commands.runs(
        "webhooks list", "webhooks list --json", f"webhooks disable {endpoint['id']}", "audit list"
    )
    for said, secret in zip((made, rotated), secrets, strict=True):
        assert (said.code, said.out) == (0, f"{secret}\n")
        assert secret.startswith("whsec_")
        assert "shown this once" in said.err
    told = [made.err, rotated.err, *(each.out + each.err for each in later)]
    for place in (*told, await _rows(database), _files(commands)):
        assert not any(each.removeprefix("whsec_") in place for each in secrets)


async def test_rotation_leaves_the_old_secret(commands: Commands, database: Database) -> None:
    """The printed secret is the one that signs from then on; the one before signs along for as long as was said."""
    made = await added(commands)
    new = (await commands.run("webhooks", "rotate-secret", made["id"], "--overlap", "60", "--json")).json
    assert shown(new) == shown(made)
    found = await stored(database, made["id"], commands)
    purpose = secret_purpose(made["id"])
    assert commands.vault.unseal(found.sealed_secret, purpose).reveal() == new["secret"] != made["secret"]
    assert found.previous_sealed_secret is not None
    assert commands.vault.unseal(found.previous_sealed_secret, purpose).reveal() == made["secret"]
    last = (await commands.run("webhooks", "rotate-secret", made["id"], "--overlap", "0", "--json")).json
    found = await stored(database, made["id"], commands)
    assert commands.vault.unseal(found.sealed_secret, purpose).reveal() == last["secret"]
    assert found.previous_sealed_secret is None
    assert [each["action"] for each in await audit_of(commands, made["id"])] == [
        "create webhook",
        *["rotate secret of webhook"] * 2,
    ]


async def test_delivery_is_not_seen(commands: Commands, database: Database) -> None:
    """What is on its way is listed, the newest first, all or of one status; one of it is sent again under its id."""
    id_ = (await added(commands))["id"]
    escrow = await live(database, Status.FUNDED)
    everything = await deliveries_of(commands, id_)
    assert everything[-1]["type"] == "escrow.created"
    assert {(each["escrow"], each["status"]) for each in everything} == {(escrow, "pending")}
    assert (await listed(commands))[0]["pending"] == len(everything) > 1
    assert await deliveries_of(commands, id_, "--limit", "1") == everything[:1]
    assert await deliveries_of(commands, id_, "--status", "pending") == everything
    assert await deliveries_of(commands, id_, "--status", "delivered") == []
    wanted = everything[0]["id"]
    again = (await commands.run("webhooks", "redeliver", id_, wanted, "--json")).json
    assert (again["id"], again["event"]) == (wanted, everything[0]["event"])
    before, now = (datetime.fromisoformat(each["next_attempt_at"]) for each in (everything[0], again))
    assert now > before
    assert [each["action"] for each in await audit_of(commands, wanted)] == ["redeliver"]


async def test_wrong_is_taken_for_right(commands: Commands) -> None:
    """What is wrong is told in a sentence with exit code 1, or 2 for the usage; nothing is changed or written down."""
    made = await added(commands)
    await commands.run("webhooks", "disable", made["id"])
    before = await listed(commands), await noted(commands)
    wrong = {
        "webhooks create https://10.0.0.1/": (1, "not public"),
        "webhooks create http://shop.example/": (1, "https only"),
        f"webhooks create {URL} --type escrow.payed": (1, "there are no events of the type 'escrow.payed'"),
        f"webhooks rotate-secret {made['id']} --overlap -1": (1, "0 to 2592000 seconds"),
        f"webhooks redeliver {made['id']} dlv_1": (1, "there is no delivery dlv_1"),
        f"webhooks deliveries {made['id']} --status lost": (2, "pending"),
        f"webhooks deliveries {made['id']} --limit 101": (2, "--limit"),
        **{
            f"webhooks {each}": (1, f"there is no webhook {NOBODY}")
            for each in (
                f"rotate-secret {NOBODY}",
                f"enable {NOBODY}",
                f"disable {NOBODY}",
                f"delete {NOBODY}",
                f"deliveries {NOBODY}",
                f"redeliver {NOBODY} dlv_1",
            )
        },
    }
    for said, (code, why) in zip(await commands.runs(*wrong), wrong.values(), strict=True):
        assert (said.code, said.out) == (code, ""), said
        assert why in " ".join(said.err.split())
        assert "Traceback" not in said.err
    assert (await listed(commands), await noted(commands)) == before


async def test_switched_off_endpoint_is_sent_something(commands: Commands, database: Database) -> None:
    """To an endpoint that is switched off nothing is sent again, and the command says what to do first."""
    id_ = (await added(commands))["id"]
    await live(database, Status.FUNDED)
    await commands.run("webhooks", "disable", id_)
    wanted = (await deliveries_of(commands, id_))[0]["id"]
    refused = await commands.run("webhooks", "redeliver", id_, wanted)
    assert (refused.code, refused.out) == (1, "")
    assert "switch it on first" in refused.err
    assert await audit_of(commands, wanted) == []


async def test_table_does_not_name_what_it_lists(commands: Commands, database: Database) -> None:
    """For people there are tables, with the ids that other commands take, and a sentence where there is nothing."""
    wide = {"COLUMNS": "250"}
    assert "webhooks create URL" in (await commands.run("webhooks", "list")).out
    id_ = (await added(commands))["id"]
    assert "nothing is on its way" in (await commands.run("webhooks", "deliveries", id_)).out
    escrow = await live(database, Status.FUNDED)
    endpoints, on_their_way = await commands.runs("webhooks list", f"webhooks deliveries {id_}", environment=wide)
    assert all(each in endpoints.out for each in (id_, URL, "on"))
    for each in await deliveries_of(commands, id_):
        assert each["id"] in on_their_way.out
        assert each["type"] in on_their_way.out
    assert escrow in on_their_way.out
    gone = await commands.run("webhooks", "delete", id_)
    assert gone.code == 0
    assert "forgotten" in gone.err


# ---------------------------------------------------------------------------------------------------------------------


async def noted(commands: Commands) -> Any:
    return (await commands.run("audit", "list", "--json")).json["items"]


async def _rows(database: Database) -> str:
    async with database.reading() as session:
        tables = [(await session.connection.execute(select(each))).all() for each in (webhooks, schema_access.audit)]
    assert all(tables)
    return str(tables)


def _files(commands: Commands) -> str:
    return "".join(each.read_bytes().decode("latin-1") for each in commands.directory.rglob("*") if each.is_file())
