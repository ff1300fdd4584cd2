"""The page at ``/docs``: the two descriptions for people, without a script."""

import json
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

Document = Mapping[str, Any]
TOLD = ("format", "pattern", "minimum", "maximum", "maxLength")
SCHEMAS = "#/components/schemas/"


def page(calls: Document, sockets: Document) -> str:
    """The whole page."""
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8><title>Fanlight: the API</title>",
        '<meta name=viewport content="width=device-width, initial-scale=1">',
        '<link rel=stylesheet href="/static/docs.css">',
        "<main><header><h1>Fanlight</h1>",
        f"<p>{escape(calls['info']['description'])}</p>",
        '<p><a href="/openapi.json">OpenAPI 3.1</a> <a href="/asyncapi.json">AsyncAPI 3</a> <a href="/">Try it</a></p>',
        f"</header><nav aria-label=Sections><ul>{''.join(_entries(calls))}</ul></nav>",
        *(_section(calls, tag) for tag in calls["tags"]),
        _sockets(sockets),
        _shapes(calls["components"]["schemas"]),
        "</main></html>",
    ]
    return "\n".join(parts)


def _entries(calls: Document) -> Iterator[str]:
    names = [tag["name"] for tag in calls["tags"]]
    for name in [*names, "sockets", "shapes"]:
        yield f'<li><a href="#{_anchor(name)}">{escape(name)}</a></li>'


def _anchor(name: str) -> str:
    return escape(name.replace(" ", "-").lower())


def _section(calls: Document, tag: Mapping[str, str]) -> str:
    rows = [
        _call(method, path, told)
        for path, methods in calls["paths"].items()
        for method, told in methods.items()
        if told["tags"] == [tag["name"]]
    ]
    name = tag["name"]
    head = f"<h2 id={_anchor(name)}>{escape(name)}</h2><p>{escape(tag['description'])}</p>"
    return f"<section>{head}{''.join(rows)}</section>"


def _call(method: str, path: str, told: Document) -> str:
    head = f"<b class={method}>{method.upper()}</b> <code>{escape(path)}</code> <span>{escape(told['summary'])}</span>"
    body = [f"<p>{escape(told['description'])}</p>"] if "description" in told else []
    if "parameters" in told:
        body.append(_table(("parameter", "in", "shape", ""), map(_parameter, told["parameters"])))
    if "requestBody" in told:
        body.append(f"<p>Body: {_kinds(told['requestBody']['content'])}</p>")
    answers = [
        (f"<code>{status}</code>", escape(answer["description"]), _kinds(answer.get("content", {})))
        for status, answer in told["responses"].items()
    ]
    body.append(_table(("answer", "", "shape"), answers))
    return f"<details id={told['operationId']}><summary>{head}</summary>{''.join(body)}</details>"


def _parameter(told: Document) -> tuple[str, ...]:
    name = f"<code>{escape(told['name'])}</code>{' *' if told.get('required') else ''}"
    return name, told["in"], _shape(told["schema"]), escape(told.get("description", ""))


def _table(head: tuple[str, ...], rows: Any) -> str:
    cells = "".join(f"<th scope=col>{name}</th>" for name in head)
    lines = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f"<div class=wide><table><thead><tr>{cells}</tr></thead><tbody>{lines}</tbody></table></div>"


def _kinds(content: Document) -> str:
    return ", ".join(f"<code>{escape(kind)}</code> {_shape(told['schema'])}" for kind, told in content.items())


def _shape(schema: Document) -> str:
    """A schema in a few words: a link where it has a name."""
    if "$ref" in schema:
        name = escape(schema["$ref"].removeprefix(SCHEMAS))
        return f'<a href="#shape-{name}">{name}</a>'
    if "anyOf" in schema:
        return " or ".join(_shape(one) for one in schema["anyOf"])
    if "enum" in schema:
        return " ".join(f"<code>{escape(json.dumps(one))}</code>" for one in schema["enum"])
    if "const" in schema:
        return f"<code>{escape(json.dumps(schema['const']))}</code>"
    if schema.get("type") == "array":
        return f"list of {_shape(schema.get('items', {}))}"
    words = [str(schema.get("type", "anything"))]
    words += [
        f"{name} {schema[name]}" for name in ("format", "pattern", "minimum", "maximum", "maxLength") if name in schema
    ]
    return escape(", ".join(words))


def _sockets(sockets: Document) -> str:
    rows = []
    for channel in sockets["channels"].values():
        query = channel["bindings"]["ws"]["query"]["properties"]
        told = _table(
            ("query", "shape"), ((f"<code>{escape(name)}</code>", _shape(one)) for name, one in query.items())
        )
        names = ", ".join(f'<a href="#shape-{name}">{name}</a>' for name in channel["messages"])
        head = f"<b class=ws>WS</b> <code>{escape(channel['address'])}</code> <span>{escape(channel['summary'])}</span>"
        rows.append(f"<details><summary>{head}</summary>{told}<p>Messages: {names}</p></details>")
    return f"<section><h2 id=sockets>sockets</h2><p>Messages of JSON, both ways.</p>{''.join(rows)}</section>"


def _shapes(schemas: Document) -> str:
    rows = [_component(name, schema) for name, schema in sorted(schemas.items())]
    return f"<section><h2 id=shapes>shapes</h2>{''.join(rows)}</section>"


def _component(name: str, schema: Document) -> str:
    about = f"<p>{escape(schema['description'])}</p>" if "description" in schema else ""
    required = set(schema.get("required", ()))
    members = [
        (f"<code>{escape(member)}</code>{' *' if member in required else ''}", _shape(told))
        for member, told in schema.get("properties", {}).items()
    ]
    body = _table(("member", "shape"), members) if members else f"<p>{_whole(schema)}</p>"
    return f'<details id="shape-{escape(name)}"><summary><code>{escape(name)}</code></summary>{about}{body}</details>'


def _whole(schema: Document) -> str:
    return " or ".join(_shape(one) for one in schema["oneOf"]) if "oneOf" in schema else _shape(schema)
