"""The pages of reference, written from the document of the API and from the table of problems. Pure."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, TypeAlias

from escrowd.api.problems import KINDS, Kind, all_kinds

#: A part of an OpenAPI document.
Part: TypeAlias = Mapping[str, Any]


def openapi_text(document: Part) -> str:
    """Return the document as it is kept in a file."""
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def reference_page(document: Part) -> str:
    """Return the reference of all operations and of all that they take and give, in Markdown."""
    lines = [_MADE_BY.format("the OpenAPI document. Edit src/escrowd/api and src/escrowd/wire instead."), "# HTTP API"]
    lines += ["", document["info"]["description"].strip(), "", _OF_ALL, ""]
    for tag, operations in _by_tag(document).items():
        lines += [f"## {tag.capitalize()}", ""]
        for method, path, operation in operations:
            lines += _operation(method, path, operation)
    lines += ["## Schemas", ""]
    for name, schema in sorted(document["components"]["schemas"].items()):
        lines += _schema(name, schema)
    return "\n".join(lines).rstrip() + "\n"


def problems_page() -> str:
    """Return the page of all problems by their codes, in Markdown."""
    header = ["| status | code | what is wrong | in particular |", "|---|---|---|---|"]
    rows = [f"| {each.status} | `{each.code}` | {each.title} | {_meaning(each)} |" for each in all_kinds()]
    made_by = _MADE_BY.format("the table of problems. Edit src/escrowd/api/problems.py instead.")
    return "\n".join([made_by, "# Problems", "", _ABOUT_PROBLEMS, "", *header, *rows]) + "\n"


# ---------------------------------------------------------------------------------------------------------------------

_MADE_BY: Final = "<!-- Made by scripts/make-docs from {} -->"
_OF_ALL: Final = (
    "Every answer has the header `X-Request-Id`: the id under which the log tells of it. What may go wrong with any "
    "request is told under [problems](problems.md)."
)
_ABOUT_PROBLEMS: Final = """\
Whatever is refused or fails is answered with a document of the media type `application/problem+json` (RFC 9457).
Programs go by its `code`, which stays; `detail` is for people. `instance` is the id of the request, to be found in the
log. `retry` tells what making the same request again would mean:

| `retry` | meaning |
|---|---|
| `safe` | nothing has happened, and the same request may be made again |
| `pointless` | nothing has happened, and the same request will be refused again until something else changes |
| `unknown` | it may have happened: make the same request again with the same `Idempotency-Key`, and it is done once |

With `not_allowed_now` come the `allowed_actions`; with `invalid_request` the `errors`, one for each wrong field. A 429
and a 503 that will pass have `Retry-After`, in seconds."""


def _by_tag(document: Part) -> dict[str, list[tuple[str, str, Part]]]:
    found: dict[str, list[tuple[str, str, Part]]] = {}
    for path, item in document["paths"].items():
        for method, operation in item.items():
            found.setdefault(operation["tags"][0], []).append((method.upper(), path, operation))
    return found


def _operation(method: str, path: str, operation: Part) -> Iterator[str]:
    yield from (f"### `{method} {path}`", "", operation["description"], "")
    if "requestBody" in operation:
        body = operation["requestBody"]
        optional = "" if body.get("required") else ", which may be left out"
        yield from (f"Body: {_type(_form(body))}{optional}.", "")
    if operation.get("parameters"):
        yield from ("| parameter | in | type | meaning |", "|---|---|---|---|")
        for each in operation["parameters"]:
            meaning = _cell(each.get("description", ""))
            yield f"| `{each['name']}` | {each['in']} | {_cell(_type(each['schema']))} | {meaning} |"
        yield ""
    yield from ("| answer | body | headers | |", "|---|---|---|---|")
    for status, response in operation["responses"].items():
        headers = ", ".join(f"`{name}`" for name in response["headers"] if name != "X-Request-Id")
        body = _cell(_type(_form(response))) if response.get("content") else ""
        yield f"| {status} | {body} | {headers} | {_cell(response['description'])} |"
    yield ""


def _schema(name: str, schema: Part) -> Iterator[str]:
    yield from (f"### {name}", "")
    if "description" in schema:
        yield from (" ".join(str(schema["description"]).split()), "")
    if "properties" not in schema:
        yield from (_type(schema), "")
        return
    if schema["properties"]:
        yield from ("| field | type | | meaning |", "|---|---|---|---|")
    for field, form in schema["properties"].items():
        needed = "always" if field in schema.get("required", ()) else _default(form)
        yield f"| `{field}` | {_cell(_type(form))} | {needed} | {_cell(form.get('description', ''))} |"
    yield ""


def _default(form: Part) -> str:
    return f"or `{json.dumps(form['default'])}`" if "default" in form else "may be missing"


def _form(holder: Part) -> Part:
    content: Mapping[str, Part] = holder["content"]
    schema: Part = next(iter(content.values()))["schema"]
    return schema


def _type(form: Part) -> str:
    """Say in one line what values a form allows."""
    if "$ref" in form:
        name = form["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in form:
        return " or ".join(_type(each) for each in form["anyOf"])
    if "enum" in form:
        return ", ".join(f"`{each}`" for each in form["enum"])
    if form.get("type") == "array":
        return f"list of {_type(form.get('items', {}))}"
    if isinstance(form.get("additionalProperties"), Mapping):
        return f"{{name: {_type(form['additionalProperties'])}}}"
    return _plain(form)


def _plain(form: Part) -> str:
    bounds = [f"{word} {form[key]}" for key, word in _BOUNDS.items() if key in form]
    kind = form.get("format") or form.get("const") or form.get("type", "anything")
    return ", ".join([str(kind), *bounds])


_BOUNDS: Final = {
    "minimum": "from",
    "maximum": "to",
    "minLength": "at least",
    "maxLength": "at most",
    "pattern": "as",
}


def _meaning(kind: Kind) -> str:
    """Say what errors are of a kind, by the first sentence that each says of itself."""
    classes: Sequence[type] = [each for each, of in KINDS.items() if of is kind]
    return _cell(" ".join((each.__doc__ or "").strip().split("\n", maxsplit=1)[0] for each in classes))


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
