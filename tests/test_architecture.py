"""The shape of the tree as laws. What may import what is held by import-linter, see ``pyproject.toml``."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCES = sorted((ROOT / "src").rglob("*.py"))
PYTHON_FILES = [*SOURCES, *sorted((ROOT / "tests").rglob("*.py"))]

#: A file is split by subject, not by length. Beyond this it hardly has one subject.
MOST_LINES_OF_A_FILE = 600
MOST_LINES_OF_A_FUNCTION = 40

#: Directories that hold what tools made, beside those whose names end in ``_cache`` or ``.egg-info``.
MADE_BY_TOOLS = {".git", ".hypothesis", ".venv", "__pycache__", "build", "dist"}

# One letter of each pattern stands in brackets, so that this file does not match itself.
UNWANTED = {
    "a path of one machine": re.compile(r"(?<![\w.])/wor[k]/|/tmp/bash_job[s]"),
    "the host of a package registry": re.compile(
        r"pypi\.[o]rg|pythonhosted\.[o]rg|npmjs\.[o]rg|crates\.[i]o|index-url[ =]http"
    ),
    "a mark of unfinished work": re.compile(r"\b(TOD[O]|FIXM[E]|XX[X]|HAC[K])\b"),
}

Function = ast.FunctionDef | ast.AsyncFunctionDef


def project_files(directory: Path = ROOT) -> Iterator[Path]:
    """Yield every text file of the project, without what tools made."""
    for path in sorted(directory.iterdir()):
        # ".git" is a file in a work tree of its own.
        if path.name in MADE_BY_TOOLS or path.name.endswith(("_cache", ".egg-info")):
            continue
        if path.is_dir():
            yield from project_files(path)
        elif is_text(path):
            yield path


def is_text(path: Path) -> bool:
    """Return whether a file holds text, by the rule of git: there is no NUL near its beginning."""
    with path.open("rb") as file:
        return b"\0" not in file.read(8000)


def functions(path: Path) -> Iterator[Function]:
    """Yield every function and method of a file, inner ones too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, Function):
            yield node


def lines_of(function: Function) -> int:
    """Count the lines from ``def`` to the end, without the docstring: explaining is not what makes a function long."""
    whole = (function.end_lineno or function.lineno) - function.lineno + 1
    first = function.body[0]
    if ast.get_docstring(function, clean=False) is None:
        return whole
    return whole - ((first.end_lineno or first.lineno) - first.lineno + 1)


def relative(path: Path) -> str:
    """Return the path as it is spoken of: from the root of the project."""
    return path.relative_to(ROOT).as_posix()


def test_file_is_too_long_to_read() -> None:
    """No Python file has more lines than one subject takes."""
    lengths = {relative(path): len(path.read_text(encoding="utf-8").splitlines()) for path in PYTHON_FILES}
    assert {path: lines for path, lines in lengths.items() if lines > MOST_LINES_OF_A_FILE} == {}


def test_function_is_too_long_to_read() -> None:
    """No function has more than 40 lines, its docstring not counted."""
    lengths = {
        f"{relative(path)}:{function.lineno} {function.name}": lines_of(function)
        for path in PYTHON_FILES
        for function in functions(path)
    }
    assert {name: lines for name, lines in lengths.items() if lines > MOST_LINES_OF_A_FUNCTION} == {}


def test_module_does_not_say_what_it_is_for() -> None:
    """Every module of the package opens with a docstring."""
    silent = [
        relative(path) for path in SOURCES if not (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "")
    ]
    assert silent == []


def test_test_does_not_say_its_law() -> None:
    """Every test opens with a docstring."""
    silent = [
        f"{relative(path)}:{function.lineno} {function.name}"
        for path in PYTHON_FILES
        if path.name.startswith("test_")
        for function in functions(path)
        if function.name.startswith("test_") and ast.get_docstring(function) is None
    ]
    assert silent == []


def test_directory_is_no_package() -> None:
    """Every directory with Python files under src/escrowd has an ``__init__.py``."""
    directories = {
        directory
        for path in SOURCES
        for directory in path.parents
        if directory.is_relative_to(ROOT / "src" / "escrowd")
    }
    assert sorted(relative(path) for path in directories if not (path / "__init__.py").exists()) == []


@pytest.mark.parametrize("what", UNWANTED)
def test_file_names_what_it_should_not(what: str) -> None:
    """No file holds a path of one machine, the host of a package registry or a mark of unfinished work."""
    found = [
        f"{relative(path)}:{number} {line.strip()[:80]}"
        for path in project_files()
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1)
        if UNWANTED[what].search(line)
    ]
    assert found == []


@pytest.mark.parametrize(
    ("what", "line"),
    [
        ("a path of one machine", "open('/wor" + "k/main/README.md')"),
        ("the host of a package registry", "https://pypi." + "org/simple"),
        ("a mark of unfinished work", "# TO" + "DO: finish"),
    ],
)
def test_unwanted_line_is_not_recognised(what: str, line: str) -> None:
    """The patterns above find what they are meant to find."""
    assert UNWANTED[what].search(line) is not None
