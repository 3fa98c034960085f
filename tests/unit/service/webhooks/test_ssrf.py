"""URLs that lead inside, by all the ways that are known: none of them is ever connected to."""

from ipaddress import ip_network
from typing import Any

import pytest

from escrowd.service.webhooks.errors import UnusableUrl
from escrowd.service.webhooks.resolving import SystemLookUp
from escrowd.service.webhooks.sending import WebhookSender
from escrowd.service.webhooks.settings import WebhookSettings
from escrowd.service.webhooks.urls import checked_url
from escrowd.testing.receiver import LOOPBACK, Receiver
from tests.unit.service.webhooks.conftest import CLIENT_TLS, PUBLIC_ONLY, Names, words

#: Hosts that stand for an inner address by themselves, as some program or other reads them.
LITERALS = words(
    """
    127.0.0.1 127.1 127.0.1 127.127.127.127 0 0.0.0.0 00.0.0.0 2130706433 017700000001 0x7f000001 0x7f.0.0.1 0x7f.1
    0x7F000001 0177.0.0.1 0177.0.0.01 127.0.0.1. 127.00.0.1 127.0.0.01 10.0.0.1 10.1 167772161 192.168.0.1 3232235521
    0xc0a80001 172.16.0.1 172.31.255.254 100.64.0.1 169.254.169.254 2852039166 0xa9fea9fe 0251.0376.0251.0376
    169.254.43518 192.0.0.192 198.18.0.1 224.0.0.1 255.255.255.255 4294967295 99999999999 [::1] [::] [0:0:0:0:0:0:0:1]
    [0000:0000:0000:0000:0000:0000:0000:0001] [::127.0.0.1] [::ffff:127.0.0.1] [::ffff:7f00:1]
    [0:0:0:0:0:ffff:127.0.0.1] [::ffff:169.254.169.254] [::ffff:a9fe:a9fe] [::ffff:10.0.0.1] [64:ff9b::127.0.0.1]
    [64:ff9b::a9fe:a9fe] [64:ff9b:1::7f00:1] [2002:7f00:1::] [2002:a9fe:a9fe::1] [2001:0:7f00:1::] [fe80::1]
    [fe80::1%25lo] [fc00::1] [fd00:ec2::254] [ff02::1] [2001:db8::1]
    """
)
#: Names, and what a name server says of them.
NAMES = {
    "localhost": ["127.0.0.1"],
    "localhost.localdomain": ["127.0.0.1", "::1"],
    "ip6-localhost": ["::1"],
    "127.0.0.1.nip.example": ["127.0.0.1"],
    "metadata.google.internal": ["169.254.169.254"],
    "instance-data.ec2.internal": ["169.254.169.254"],
    "kubernetes.default.svc": ["10.96.0.1"],
    "intranet": ["192.168.1.10"],
    "half-inside.example": ["8.8.8.8", "127.0.0.1"],
    "half-inside-6.example": ["2606:4700::1111", "::1"],
    "mapped.example": ["::ffff:127.0.0.1"],
    "translated.example": ["64:ff9b::7f00:1"],
    "tunnel.example": ["2002:7f00:1::1"],
    "shared.example": ["100.100.100.200"],
    "everybody.example": ["0.0.0.1"],
    "link.example": ["fe80::1%lo"],
    "unique-local.example": ["fd00::1"],
}


@pytest.mark.parametrize("host", LITERALS)
@pytest.mark.parametrize("scheme", ["https", "http"])
async def test_written_address_is_connected_to(
    receiver: Receiver, connections: list[Any], host: str, scheme: str
) -> None:
    """A host that stands for an inner address is refused when it is given, and connected to by no way around that."""
    url = f"{scheme}://{host}:{receiver.port}/hook"
    with pytest.raises(UnusableUrl):
        checked_url(url, ())
    async with WebhookSender(PUBLIC_ONLY, tls=CLIENT_TLS) as sender:
        outcome = await sender.send(url, b"{}", {})
    assert not outcome.is_ok
    assert outcome.status is None
    assert (connections, receiver.received) == ([], [])


@pytest.mark.parametrize("host", NAMES)
async def test_name_leads_inside(receiver: Receiver, connections: list[Any], host: str) -> None:
    """A name with a single inner address is not connected to, whatever public ones it has beside it."""
    url = f"https://{host}:{receiver.port}/hook"
    async with WebhookSender(PUBLIC_ONLY, Names(NAMES[host]), CLIENT_TLS) as sender:
        outcome = await sender.send(str(checked_url(url, ())), b"{}", {})
    assert (
        outcome.error == "the host has an address that is not public, and in no network that this service may send to"
    )
    assert (connections, receiver.received) == ([], [])


async def test_name_of_the_system_leads_inside(receiver: Receiver, connections: list[Any]) -> None:
    """What the system itself resolves is looked at just so."""
    async with WebhookSender(PUBLIC_ONLY, tls=CLIENT_TLS) as sender:
        outcome = await sender.send(receiver.url("localhost").replace("http:", "https:"), b"{}", {})
    assert "not public" in str(outcome.error)
    assert (connections, receiver.received) == ([], [])


@pytest.mark.parametrize("address", ["8.8.8.8", "10.0.0.1"])
async def test_plain_text_leaves_the_allowed_network(connections: list[Any], address: str) -> None:
    """Without TLS a name is connected to only in an allowed network, not in public either."""
    settings = WebhookSettings(allowed_networks=LOOPBACK, timeout=5.0)
    async with WebhookSender(settings, Names([address])) as sender:
        outcome = await sender.send("http://shop.example/hook", b"{}", {})
    assert "not public" in str(outcome.error)
    assert connections == []


async def test_second_look_up_leads_inside(receiver: Receiver, connections: list[Any]) -> None:
    """The address that was looked at is the one that is connected to: a name is looked up once a try, and each try."""
    settings = WebhookSettings(allowed_networks=(ip_network("127.0.0.1/32"),), timeout=5.0)
    names = Names(["127.0.0.1"], ["127.0.0.2"])
    async with WebhookSender(settings, names) as sender:
        outcomes = [await sender.send(receiver.url("rebinding.example"), b"{}", {}) for _ in range(2)]
    assert [each.is_ok for each in outcomes] == [True, False]
    assert names.asked == ["rebinding.example"] * 2
    assert connections == [("127.0.0.1", receiver.port)]
    assert len(receiver.received) == 1


async def test_look_up_gives_nothing_of_the_system() -> None:
    """The system's own names are found, so that the tests above are about its real answers."""
    look_up = SystemLookUp(1)
    assert set(await look_up("localhost")) <= {"127.0.0.1", "::1"}
    assert await look_up("0x7f.1") == ["127.0.0.1"]
    look_up.close()
