"""The paper that everything is written on: one JSON document for programs, tables for people, and their small words."""

import os
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Final, Literal

import msgspec
from pydantic import BaseModel
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from escrowd.domain.money import format_xmr_short

#: Columns of a line that no terminal bounds, as in a pipe: an id is not to be broken there.
UNBOUNDED: Final = 200
#: What stands where there is nothing.
NOTHING: Final = "-"


def write_text(text: str) -> None:
    """Write a text to standard output. Where nobody reads any further, the command ends without a word."""
    try:
        sys.stdout.write(text if text.endswith("\n") else f"{text}\n")
        sys.stdout.flush()
    except BrokenPipeError:
        # What is left would be written once more at the end of the process, and fail there.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(1) from None


def write_json(value: Any) -> None:
    """Write a value as the one JSON document of a command."""
    write_text(as_json(value))


def write(*parts: RenderableType) -> None:
    """Write for people: as wide as their terminal is, and without colours where it is none."""
    bounded = sys.stdout.isatty() or os.environ.get("COLUMNS")
    console = Console(file=sys.stdout, highlight=False, soft_wrap=False, width=None if bounded else UNBOUNDED)
    with console.capture() as captured:
        for part in parts:
            console.print(part)
    write_text("\n".join(line.rstrip() for line in captured.get().splitlines()))


def say(text: str) -> None:
    """Say something to people beside the output, on standard error."""
    sys.stderr.write(f"{text}\n")


# --- values ----------------------------------------------------------------------------------------------------------


def as_json(value: Any) -> str:
    """Return a value as JSON to be read by people, too."""
    return msgspec.json.format(msgspec.json.encode(value, enc_hook=_plain), indent=2).decode()


def table(*columns: str, rows: Iterable[Sequence[str | Text]], numbers: Sequence[str] = ()) -> RenderableType:
    """Return a table of texts; ``numbers`` names the columns that stand to the right. See :class:`Rows`."""
    cells = [tuple(each if isinstance(each, Text) else Text(plain(each)) for each in row) for row in rows]
    return Rows(columns, cells, frozenset(numbers))


def facts(pairs: Iterable[tuple[str, str | Text]]) -> Table:
    """Return names and what they stand for, one pair in a line."""
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, fact in pairs:
        grid.add_row(name, fact if isinstance(fact, Text) else Text(plain(fact)))
    return grid


class Rows:
    """Rows of a table. Where they are wider than the terminal, each row stands by itself, and nothing is cut short.

    The last column may be folded. The others are not, so that an id can be copied.
    """

    def __init__(self, columns: Sequence[str], rows: Sequence[Sequence[Text]], numbers: frozenset[str]) -> None:
        self._columns = columns
        self._rows = rows
        self._numbers = numbers

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the table, or the rows one below the other."""
        if self._width() <= options.max_width:
            yield self._table()
            return
        for number, row in enumerate(self._rows):
            if number:
                yield Text()
            yield facts(zip(self._columns, row, strict=True))

    def _width(self) -> int:
        """Return the columns that the table needs at least."""
        widths = [Text(name).cell_len + _GAP for name in self._columns]
        for row in self._rows:
            widths = [max(width, cell.cell_len + _GAP) for width, cell in zip(widths, row, strict=True)]
        return sum(widths[:-1]) + min(widths[-1], _LEAST_FOLDED)

    def _table(self) -> Table:
        made = Table(box=None, pad_edge=False, header_style="bold", padding=(0, _GAP, 0, 0))
        for name in self._columns:
            justify: Literal["right", "left"] = "right" if name in self._numbers else "left"
            made.add_column(name, overflow="fold", justify=justify, no_wrap=name != self._columns[-1])
        for row in self._rows:
            made.add_row(*row)
        return made


def plain(text: str) -> str:
    """Return a text on one line, without what could make a terminal do something. It may be of anybody's making."""
    shown = "".join(each if unicodedata.category(each) not in _UNSHOWN else " " for each in text)
    return shown.strip() or NOTHING


def moment_text(milliseconds: int | None) -> str:
    """Return a time in UTC, to the second."""
    if milliseconds is None:
        return NOTHING
    return datetime.fromtimestamp(milliseconds // 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")


def span_text(seconds: float) -> str:
    """Return a length of time in its two largest units, such as ``2 d 3 h``; a negative one as nothing."""
    left = max(0, int(seconds))
    parts: list[tuple[int, str]] = []
    for unit, length in _UNITS:
        count, left = divmod(left, length)
        if count or parts:
            parts.append((count, unit))
    shown = [f"{count} {unit}" for count, unit in parts[:2] if count]
    return " ".join(shown) or "0 s"


def xmr(piconero: int) -> str:
    """Return an amount for people, to the piconero."""
    return f"{format_xmr_short(piconero)} XMR"


# ---------------------------------------------------------------------------------------------------------------------

#: Columns between two columns of a table, and how many of the last one there must be room for.
_GAP: Final = 2
_LEAST_FOLDED: Final = 24
#: Controls, formats such as a change of the writing direction, and what is no character.
_UNSHOWN: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})
_UNITS: Final = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    raise TypeError(f"there is no JSON for a {type(value).__name__}")
