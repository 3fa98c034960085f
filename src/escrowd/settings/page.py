"""The settings written down for people, from the model and its comments."""

import ast
import inspect
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from pydantic import BaseModel

from escrowd.settings import model
from escrowd.settings.loading import variable_of
from escrowd.settings.model import SettingsModel


@dataclass(frozen=True, slots=True)
class Described:
    """One setting: its name with the groups before it, its default, and what its comment says."""

    name: str
    default: object
    meaning: str


def described_settings() -> tuple[Described, ...]:
    """Return all settings in the order of the model."""
    return tuple(_described(SettingsModel(), "", _comments(inspect.getsource(model))))


def settings_page() -> str:
    """Return the whole reference page, in Markdown."""
    return "\n".join(
        [
            "<!-- Made by scripts/make-docs from the settings. Edit src/escrowd/settings/model.py instead. -->",
            "# Settings",
            "",
            "They are read from a TOML file (`--config`, `ESCROWD_CONFIG`, or `/etc/escrowd/escrowd.toml`), then from",
            "variables of the environment, then from flags; the later go before. An unknown one is refused.",
            "`escrowd doctor --show-settings` shows those in force and where each comes from. An example is",
            "[deploy/escrowd.toml](../../deploy/escrowd.toml).",
            "",
            "The vault key is no setting: it is in the file that `vault.key_file` names, is derived from the",
            "passphrase in `vault.passphrase_file`, or stands in `ESCROWD_VAULT_KEY`.",
            "",
            "| setting | default | variable | meaning |",
            "|---|---|---|---|",
            *_rows(described_settings()),
            "",
        ]
    )


# ---------------------------------------------------------------------------------------------------------------------

_MARK: Final = "#: "


def _rows(settings: Iterable[Described]) -> Iterator[str]:
    for each in settings:
        meaning = each.meaning.replace("``None``:", "Without it:").replace("``", "`")
        yield f"| `{each.name}` | {_shown(each.default)} | `{variable_of(each.name)}` | {meaning} |"


def _shown(default: object) -> str:
    if default is None or default == ():
        return ""
    return f"`{str(default).lower() if isinstance(default, bool) else default}`"


def _described(group: BaseModel, before: str, comments: dict[tuple[str, str], str]) -> Iterator[Described]:
    kind = type(group)
    for name in kind.model_fields:
        value = getattr(group, name)
        if isinstance(value, BaseModel):
            yield from _described(value, f"{before}{name}.", comments)
        else:
            yield Described(f"{before}{name}", value, comments.get((kind.__name__, name), ""))


def _comments(source: str) -> dict[tuple[str, str], str]:
    """Return what the comments before the fields of each class say."""
    lines = source.splitlines()
    classes = (node for node in ast.parse(source).body if isinstance(node, ast.ClassDef))
    return {
        (each.name, field.target.id): _comment_before(lines, field.lineno - 1)
        for each in classes
        for field in each.body
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
    }


def _comment_before(lines: list[str], end: int) -> str:
    begin = end
    while begin and lines[begin - 1].strip().startswith(_MARK):
        begin -= 1
    return " ".join(line.strip().removeprefix(_MARK) for line in lines[begin:end])
