"""The example of a settings file and the page of settings are what the model says."""

import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from escrowd.domain.networks import Network
from escrowd.settings.loading import load_settings
from escrowd.settings.page import described_settings, settings_page

ROOT = Path(__file__).parents[3]
EXAMPLE = ROOT / "deploy" / "escrowd.toml"
PAGE = ROOT / "docs" / "reference" / "settings.md"


def flat(values: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, object]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from flat(value, f"{before}{name}.")
        else:
            yield f"{before}{name}", value


def everything_in_the_example() -> str:
    """Return the example with every setting in it set."""
    return re.sub(r"^#(\w+ = )", r"\1", EXAMPLE.read_text(encoding="utf-8"), flags=re.MULTILINE)


def test_example_leaves_out_a_setting() -> None:
    """The example names every setting that there is, in the order of the model, each under a line that explains it."""
    assert [name for name, _ in flat(tomllib.loads(everything_in_the_example()))] == [
        each.name for each in described_settings()
    ]
    lines = EXAMPLE.read_text(encoding="utf-8").splitlines()
    settings = [number for number, line in enumerate(lines) if re.match(r"#?\w+ = ", line)]
    assert all(lines[number - 1].startswith("# ") for number in settings)


def test_example_says_another_default() -> None:
    """What stands in the example is the default, wherever there is one."""
    said = dict(flat(tomllib.loads(everything_in_the_example())))
    plain = {
        each.name: list(each.default) if isinstance(each.default, tuple) else each.default
        for each in described_settings()
        if each.default is not None
    }
    meant = {name: str(value) if isinstance(value, Path) else value for name, value in plain.items()}
    assert {name: said[name] for name in meant} == meant


def test_example_cannot_be_used(tmp_path: Path) -> None:
    """The example is read as it is, for mainnet, and also with everything in it set."""
    settings = load_settings(EXAMPLE, environment={})
    assert settings.model.network is Network.MAINNET
    assert settings.model.vault.key_file == Path("/etc/escrowd/vault.key")
    whole = tmp_path / "escrowd.toml"
    whole.write_text(everything_in_the_example(), encoding="utf-8")
    assert load_settings(whole, environment={}).confirmations == 20


def test_page_and_model_have_drifted_apart() -> None:
    """The page of settings is what the model says; ``make docs`` writes it anew."""
    assert PAGE.read_text(encoding="utf-8") == settings_page()


def test_setting_means_nothing() -> None:
    """Every setting has a comment that says what it means."""
    assert [each.name for each in described_settings() if not each.meaning] == []
