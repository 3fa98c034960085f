"""The documents of the API: they need no other host, and name every code that may come."""

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import httpx
from typing_extensions import override

from escrowd.api.problems import all_kinds
from escrowd.api.reference import openapi_text, problems_page, reference_page
from escrowd.testing.api_house import ApiHouse
from tests.contract.api.matrix import operations_of

REFERENCE = Path(__file__).parents[3] / "docs" / "reference"
#: Words beside a reference that restrict nothing.
_MAY_STAND_BESIDE = frozenset({"$ref", "title", "description", "default", "examples", "deprecated"})


class _Addresses(HTMLParser):
    """Collects what a page loads or leads to."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    @override
    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value for name, value in attrs if name in ("src", "href") and value]


async def test_page_asks_another_host(sqlite_client: httpx.AsyncClient) -> None:
    """All that the page of documents loads is of this host, and is there."""
    page = await sqlite_client.get("/docs")
    assert page.status_code == 200
    addresses = _Addresses()
    addresses.feed(page.text)
    assert len(addresses.found) >= 3
    for each in [*addresses.found, *re.findall(r"url: '([^']+)'", page.text)]:
        assert re.match("/[^/]", each), each
        assert (await sqlite_client.get(each)).status_code == 200, each
    assert re.findall(r"https?://", re.sub(r"https?://(www\.)?w3\.org", "", page.text)) == []


async def test_operation_is_not_described(sqlite_house: ApiHouse) -> None:
    """Every operation says in words what it does, every parameter what it is, every POST and PATCH what it reads."""
    document = sqlite_house.app.openapi()
    for each in operations_of(document):
        operation = document["paths"][each.path][each.method.lower()]
        assert operation["description"].endswith("."), each
        assert not operation["description"].startswith("Raises"), each
        assert ("requestBody" in operation) is (each.method in ("POST", "PATCH")), each
        assert [name["name"] for name in operation.get("parameters", ()) if "description" not in name] == [], each


async def test_answer_has_no_form(sqlite_house: ApiHouse) -> None:
    """Every answer with a body has a form, every problem that of problems, and every name that is used is there."""
    document = sqlite_house.app.openapi()
    for each in operations_of(document):
        for status, response in document["paths"][each.path][each.method.lower()]["responses"].items():
            content = response.get("content", {})
            assert content or status == "204", (each, status)
            assert all(form.get("schema") for form in content.values()), (each, status)
            if int(status) >= 400 and each.name != "readyz":
                assert list(content) == ["application/problem+json"], (each, status)
    missing = [name for name in _references(document) if not _is_there(document, name)]
    assert missing == []


async def test_form_contradicts_itself(sqlite_house: ApiHouse) -> None:
    """A reference says all there is to say of a form: what stands beside it would have to hold, too."""
    document = sqlite_house.app.openapi()
    beside = [sorted(form) for form in _forms(document) if "$ref" in form and set(form) - _MAY_STAND_BESIDE]
    assert beside == []


async def test_pages_and_api_have_drifted_apart(sqlite_house: ApiHouse) -> None:
    """The pages of reference are what the API says; ``make docs`` writes them anew."""
    document = sqlite_house.app.openapi()
    assert (REFERENCE / "openapi.json").read_text(encoding="utf-8") == openapi_text(document)
    assert (REFERENCE / "api.md").read_text(encoding="utf-8") == reference_page(document)
    assert (REFERENCE / "problems.md").read_text(encoding="utf-8") == problems_page()


async def test_page_leaves_something_out(sqlite_house: ApiHouse) -> None:
    """The reference has every operation and every schema, and the page of problems every code."""
    document = sqlite_house.app.openapi()
    page, problems = reference_page(document), problems_page()
    for each in operations_of(document):
        assert f"### `{each.method} {each.path}`" in page
    assert all(f"\n### {name}\n" in page for name in document["components"]["schemas"])
    assert all(f"`{kind.code}`" in problems for kind in all_kinds())


# ---------------------------------------------------------------------------------------------------------------------


def _forms(part: Any) -> list[dict[str, Any]]:
    inner = part.values() if isinstance(part, dict) else part if isinstance(part, list) else ()
    return ([part] if isinstance(part, dict) else []) + [form for each in inner for form in _forms(each)]


def _references(part: Any) -> list[str]:
    if isinstance(part, dict):
        own = [part["$ref"]] if isinstance(part.get("$ref"), str) else []
        return own + [each for value in part.values() for each in _references(value)]
    return [each for value in part for each in _references(value)] if isinstance(part, list) else []


def _is_there(document: Any, reference: str) -> bool:
    for name in reference.removeprefix("#/").split("/"):
        if name not in document:
            return False
        document = document[name]
    return True
