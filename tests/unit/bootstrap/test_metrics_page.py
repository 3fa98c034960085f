import ast
import re
from collections.abc import Iterator
from pathlib import Path

from escrowd.bootstrap.metrics_page import described_metrics, metrics_page

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "reference" / "metrics.md"
NAME = re.compile(r"escrowd_[a-z]\w*")


def names_in_code() -> Iterator[str]:
    """Yield every text of the package that is the name of a metric, or begins one."""
    for path in (ROOT / "src").rglob("*metrics.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and NAME.fullmatch(node.value):
                yield node.value


def test_page_and_collectors_have_drifted_apart() -> None:
    """The page of metrics is what the collectors say; ``make docs`` writes it anew."""
    assert PAGE.read_text(encoding="utf-8") == metrics_page()


def test_metric_is_left_out() -> None:
    """Every metric that a module of metrics names is on the page."""
    names = [each.name for each in described_metrics()]
    assert len(names) == len(set(names))
    assert [name for name in names_in_code() if not any(each.startswith(name) for each in names)] == []


def test_metric_is_not_explained() -> None:
    """Every metric says what it means, and what its labels are called."""
    metrics = {each.name: each for each in described_metrics()}
    assert [each.name for each in metrics.values() if not each.meaning] == []
    assert metrics["escrowd_http_requests_total"].labels == ("method", "route", "status")
    assert metrics["escrowd_rpc_seconds"].kind == "histogram"
    assert metrics["escrowd_rpc_seconds"].labels == ("method",)
