"""Which ``escrowd`` commands exist, beside those that files and pages name."""

from typing import Any

import typer

from escrowd.cli.main import app


def existing() -> dict[tuple[str, ...], set[str]]:
    """Return every command by its words, with its flags."""
    found: dict[tuple[str, ...], set[str]] = {}
    _walk(typer.main.get_command(app), (), found)
    return found


def unknown(words: list[str]) -> str | None:
    """Say what of a command line after ``escrowd`` there is not, or return ``None``."""
    known = existing()
    path = next((tuple(words[:length]) for length in (2, 1) if tuple(words[:length]) in known), None)
    if path is None:
        return f"no command: {' '.join(words)}"
    odd = {word.partition("=")[0] for word in words if word.startswith("--")} - known[path]
    return f"no such flags of {' '.join(path)}: {', '.join(sorted(odd))}" if odd else None


# ---------------------------------------------------------------------------------------------------------------------


def _walk(command: Any, path: tuple[str, ...], found: dict[tuple[str, ...], set[str]]) -> None:
    inner = getattr(command, "commands", None)
    if inner is None:
        found[path] = {flag for parameter in command.params for flag in parameter.opts if flag.startswith("--")}
        return
    for name, each in inner.items():
        _walk(each, (*path, name), found)
