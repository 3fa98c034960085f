"""How endpoints and deliveries are shown."""

from collections.abc import Sequence
from datetime import datetime

from rich.console import RenderableType
from rich.text import Text

from escrowd.cli.showing.paper import NOTHING, table
from escrowd.wire.webhooks import Delivery, Webhook


def webhook_table(webhooks: Sequence[Webhook]) -> RenderableType:
    """Return a table of endpoints."""
    if not webhooks:
        return Text("events are sent nowhere: 'escrowd webhooks create URL' changes that")
    rows = [
        (
            each.id,
            _status(each),
            str(each.pending),
            _time(each.last_success_at),
            ", ".join(each.types) or "all",
            each.url,
        )
        for each in webhooks
    ]
    return table("webhook", "status", "waiting", "last taken", "types", "url", rows=rows, numbers=("waiting",))


def delivery_table(deliveries: Sequence[Delivery]) -> RenderableType:
    """Return a table of deliveries."""
    if not deliveries:
        return Text("nothing is on its way")
    rows = [
        (
            each.id,
            each.type,
            each.escrow,
            each.status,
            str(each.attempts),
            _time(each.delivered_at or each.next_attempt_at),
            each.last_error or (str(each.last_status) if each.last_status else NOTHING),
        )
        for each in deliveries
    ]
    columns = ("delivery", "type", "escrow", "status", "tries", "taken, or next try", "last answer")
    return table(*columns, rows=rows, numbers=("tries",))


# ---------------------------------------------------------------------------------------------------------------------


def _status(webhook: Webhook) -> str:
    if webhook.status == "disabled":
        return f"off: {webhook.disabled_reason}"
    return f"failing since {_time(webhook.failing_since)}" if webhook.failing_since else "on"


def _time(moment: datetime | None) -> str:
    return NOTHING if moment is None else moment.strftime("%Y-%m-%d %H:%M:%S")
