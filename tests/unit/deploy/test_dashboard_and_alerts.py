import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from escrowd.bootstrap.metrics_page import described_metrics
from escrowd.chain.health import Trouble
from escrowd.domain.escrow.status import Status
from tests.unit.deploy.parsing import DEPLOY, ROOT

DASHBOARD = json.loads((DEPLOY / "grafana" / "escrowd.json").read_text(encoding="utf-8"))
ALERTS = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yml").read_text(encoding="utf-8"))
RULES = [rule for group in ALERTS["groups"] for rule in group["rules"]]

#: What every series gets by being scraped.
SCRAPED = {"job", "instance"}
#: Of Prometheus itself and of the node exporter.
OTHERS = {"up", "node_filesystem_avail_bytes", "node_filesystem_files_free"}
SELECTOR = re.compile(r"\b([a-z][a-z0-9_]*)\{([^}]*)\}|\b((?:escrowd|node)_\w+)")
MATCHER = re.compile(r'(\w+)(?:=~|!~|!=|=)"([^"]*)"')


def existing() -> dict[str, set[str]]:
    """Return every series that the service shows, with its labels."""
    series: dict[str, set[str]] = {}
    for metric in described_metrics():
        if metric.kind == "histogram":
            series |= {f"{metric.name}_{part}": set(metric.labels) for part in ("sum", "count")}
            series[f"{metric.name}_bucket"] = {*metric.labels, "le"}
        else:
            series[metric.name] = set(metric.labels)
    return series


def panels() -> Iterator[dict[str, Any]]:
    """Yield the panels of the dashboard that show something."""
    yield from (panel for panel in DASHBOARD["panels"] if panel["type"] != "row")


def expressions() -> list[str]:
    """Return every expression of dashboard and alerts."""
    shown = [target["expr"] for panel in panels() for target in panel["targets"]]
    return shown + [rule["expr"] for rule in RULES]


def used() -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Yield every series that an expression names, with the labels that it asks for and their values."""
    for expression in expressions():
        for found in SELECTOR.finditer(expression):
            yield found[1] or found[3], MATCHER.findall(found[2] or "")


def test_metric_is_not_there() -> None:
    """Dashboard and alerts name only metrics that the service shows, with labels that these have."""
    known = existing()
    assert {name for name, _ in used()} - set(known) - OTHERS == set()
    odd = {
        (name, label) for name, labels in used() for label, _ in labels
        if name in known and label not in known[name] | SCRAPED
    }  # fmt: skip
    assert odd == set()


@pytest.mark.parametrize(
    ("metric", "label", "words"),
    [
        ("escrowd_escrows", "status", {str(each) for each in Status}),
        ("escrowd_chain_trouble", "kind", {str(each) for each in Trouble}),
    ],
)
def test_value_is_never_shown(metric: str, label: str, words: set[str]) -> None:
    """Where an expression asks for a status or a kind of trouble, there is one of that name."""
    asked = {word for name, labels in used() if name == metric for key, text in labels if key == label
             for word in text.split("|")}  # fmt: skip
    assert asked
    assert asked - words == set()


def test_metric_that_matters_is_watched_by_nobody() -> None:
    """Each thing that stops money is watched by an alert."""
    watched = {found[1] or found[3] for rule in RULES for found in SELECTOR.finditer(rule["expr"])}
    assert watched >= {
        "escrowd_ready", "escrowd_escrows", "escrowd_payout_oldest_seconds", "escrowd_chain_trouble",
        "escrowd_work_failures_total", "escrowd_session_save_failures_total", "escrowd_stock_ready",
        "escrowd_webhook_oldest_pending_seconds", "escrowd_webhook_disabled", "node_filesystem_avail_bytes",
    }  # fmt: skip


def test_alert_does_not_say_what_to_do() -> None:
    """Every alert has a name of its own, a severity, a sentence, and a heading of the operating guide that there is."""
    names = [rule["alert"] for rule in RULES]
    assert len(names) == len(set(names))
    assert {rule["labels"]["severity"] for rule in RULES} == {"page", "ticket"}
    headings = {
        "docs/operating.md#" + re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")
        for heading in re.findall(r"^#+ (.+)$", (ROOT / "docs" / "operating.md").read_text(encoding="utf-8"), re.M)
    }
    assert {rule["annotations"]["runbook"] for rule in RULES} - headings == set()
    assert [rule["alert"] for rule in RULES if not rule["annotations"]["summary"]] == []


def test_panels_lie_on_each_other() -> None:
    """The panels have ids and titles of their own, and no two of them share a place."""
    places = [
        (x, y)
        for panel in DASHBOARD["panels"]
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(places) == len(set(places))
    assert max(x for x, _ in places) < 24
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids))
    titles = [panel["title"] for panel in panels()]
    assert len(titles) == len(set(titles))
