"""Which JSON Schemas the API takes: a subset of draft 2020-12, bounded in size.

Judged before anything is spent. Keywords that the API refuses answer 422, a schema that
is none, or refers outside itself, answers 400; each names the place.
"""

import json
from collections.abc import Iterator
from typing import Any

from engine.errors import ApiError, invalid

Schema = dict[str, Any]

MAX_BYTES = 64 * 1024
MAX_DEPTH = 64
MAX_SUBSCHEMAS = 1000
_MAX_PATTERN = 500

TYPES = ("array", "boolean", "integer", "null", "number", "object", "string", "timestamp")
TIMESTAMP_FORMATS = ("seconds", "hh:mm:ss", "hh:mm:ss.fff")
_STRING_FORMATS = ("uuid", "date-time", "date", "time")

# Keywords that would change what is valid, and that the API does not honour.
# additionalProperties is not among them: nothing undeclared is ever written.
_REFUSED = frozenset({
    "minLength", "maxLength", "uniqueItems", "maxItems", "oneOf", "allOf", "not", "if", "then", "else",
    "multipleOf", "prefixItems", "contains", "minContains", "maxContains", "minProperties", "maxProperties",
    "patternProperties", "propertyNames", "dependentRequired", "dependentSchemas", "unevaluatedItems",
    "unevaluatedProperties", "$dynamicRef",
})  # fmt: skip
_BOUNDS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")


def check_schema(schema: Schema) -> None:
    """Refuse a schema that the API would refuse.

    Raises:
        ApiError: 400 or 422, naming the place.
    """
    try:
        size = len(json.dumps(schema))
    except RecursionError as exc:
        raise _wrong("", f"is nested deeper than {MAX_DEPTH} levels") from exc
    if size > MAX_BYTES:
        raise _wrong("", f"is larger than {MAX_BYTES} bytes")
    for path, node, depth in _nodes(schema, schema):
        if depth > MAX_DEPTH:
            raise _wrong(path, f"is nested deeper than {MAX_DEPTH} levels")
        _check_node(path, node)
    _check_timestamps(schema)


def resolve(root: Schema, node: Any) -> Schema:
    """Follow ``$ref`` to what it names, together with what stands beside it.

    Raises:
        ApiError: it names nothing in this schema, or contradicts what stands beside it.
    """
    for _ in range(MAX_DEPTH):
        if "$ref" not in node:
            return dict(node)
        beside = {name: value for name, value in node.items() if name != "$ref"}
        both = merged(_at(root, node["$ref"]), beside)
        if both is None:
            raise _wrong("", "has keywords beside a $ref that contradict what it names")
        node = both
    raise _wrong("", "holds a $ref that leads to itself")


_ANNOTATIONS = frozenset({"title", "description", "default", "examples", "$comment", "$comments", "deprecated"})


def merged(one: Schema, other: Schema) -> Schema | None:
    """Return a schema that asks for all that both ask for; None where that is beyond this subset.

    What merely describes is taken from ``other``.
    """
    both = {**one, **other}
    for keyword in one.keys() & other.keys() - _ANNOTATIONS:
        if one[keyword] == other[keyword]:
            continue
        if keyword == "type":
            kinds = [kind for kind in kinds_of(one) if kind in kinds_of(other)]
            if not kinds:
                return None
            both["type"] = kinds if len(kinds) > 1 else kinds[0]
        elif keyword == "required":
            both["required"] = list(dict.fromkeys([*one["required"], *other["required"]]))
        elif keyword == "properties" and not one["properties"].keys() & other["properties"].keys():
            both["properties"] = {**one["properties"], **other["properties"]}
        else:
            return None
    return both


def _at(root: Schema, reference: Any) -> Schema:
    if not isinstance(reference, str) or not reference.startswith("#"):
        raise _wrong("", f"refers outside itself: {str(reference)[:80]}")
    found: Any = root
    for part in reference[1:].split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        found = found.get(key) if isinstance(found, dict) else None
    if not isinstance(found, dict):
        raise _wrong("", f"refers to what it does not hold: {reference[:80]}")
    return found


def _nodes(root: Schema, schema: Any) -> Iterator[tuple[str, Any, int]]:
    """Walk all subschemas as they are reached through references; each reference once on a path."""
    stack: list[tuple[str, Any, int, frozenset[str]]] = [("", schema, 0, frozenset())]
    seen = 0
    while stack:
        path, node, depth, followed = stack.pop()
        seen += 1
        if seen > MAX_SUBSCHEMAS:
            raise _wrong("", f"expands to more than {MAX_SUBSCHEMAS} subschemas")
        yield path, node, depth
        if not isinstance(node, dict) or depth > MAX_DEPTH:
            continue
        if "$ref" in node:
            if node["$ref"] in followed:
                continue
            target = resolve(root, node)
            followed |= {node["$ref"]} if isinstance(node["$ref"], str) else frozenset()
            yield path, target, depth
            node = target
        stack += [(where, child, depth + 1, followed) for where, child in _children(path, node)]


def _children(path: str, node: Schema) -> Iterator[tuple[str, Any]]:
    properties = node.get("properties")
    if isinstance(properties, dict):
        for name, child in properties.items():
            yield f"{path}/{name}", child
    if "items" in node:
        yield f"{path}/*", node["items"]
    if isinstance(node.get("anyOf"), list):
        for child in node["anyOf"]:
            yield path, child


def _check_node(path: str, node: Any) -> None:
    if not isinstance(node, dict):
        raise _wrong(path, "must be an object")
    for keyword in node:
        if keyword in _REFUSED:
            raise ApiError("parameter_invalid", f"{_place(path)}: the keyword {keyword} is not supported.", 422)
    kinds = kinds_of(node)
    for kind in kinds:
        if kind not in TYPES:
            raise _wrong(path, f"has the unknown type {str(kind)[:40]}")
    _check_shape(path, node)
    _check_bounds(path, node, kinds)
    _check_values(path, node)


def kinds_of(node: Schema) -> tuple[Any, ...]:
    """Return the types that a node names; none means any."""
    kinds = node.get("type", ())
    return tuple(kinds) if isinstance(kinds, list | tuple) else (kinds,)


def _check_shape(path: str, node: Schema) -> None:
    if not isinstance(node.get("properties", {}), dict):
        raise _wrong(path, "must have an object as its properties")
    required = node.get("required", [])
    if not isinstance(required, list) or not all(isinstance(name, str) for name in required):
        raise _wrong(path, "must have a list of names as required")
    if "anyOf" in node and (not isinstance(node["anyOf"], list) or not node["anyOf"]):
        raise _wrong(path, "must have a list of schemas as anyOf")
    if (pattern := node.get("pattern")) is not None and (not isinstance(pattern, str) or len(pattern) > _MAX_PATTERN):
        raise _wrong(path, f"must have a pattern of at most {_MAX_PATTERN} characters")
    least = node.get("minItems", 0)
    if isinstance(least, bool) or least not in (0, 1):
        raise ApiError("parameter_invalid", f"{_place(path)}: minItems takes 0 or 1 only.", 422)


def _check_bounds(path: str, node: Schema, kinds: tuple[Any, ...]) -> None:
    for keyword in _BOUNDS:
        if keyword not in node:
            continue
        if isinstance(node[keyword], bool) or not isinstance(node[keyword], int | float):
            raise _wrong(path, f"must have a number as {keyword}")
        if "number" in kinds:
            raise ApiError("parameter_invalid", f"{_place(path)}: {keyword} is supported for integers only.", 422)
    text_format = node.get("format")
    if "string" in kinds and text_format is not None and text_format not in _STRING_FORMATS:
        raise ApiError(
            "parameter_invalid",
            f"{_place(path)}: the format of a string must be one of {', '.join(_STRING_FORMATS)}.",
            422,
        )


def _check_values(path: str, node: Schema) -> None:
    values = node.get("enum", [])
    if "enum" in node and (not isinstance(values, list) or not values):
        raise _wrong(path, "must have a list of values as enum")
    for value in [*values, node.get("const")]:
        if value is not None and not isinstance(value, bool | int | float | str):
            raise _wrong(path, "may have only booleans, nulls, numbers and strings as enum and const")


def _check_timestamps(schema: Schema) -> None:
    """``timestamp`` stands at the top, or in the objects of a top-level array, and nowhere else."""
    for path, node, _ in _nodes(schema, schema):
        if "timestamp" not in kinds_of(node):
            continue
        if node.get("format") not in TIMESTAMP_FORMATS:
            raise _wrong(path, f"needs a format, one of {', '.join(TIMESTAMP_FORMATS)}")
        if not _may_be_timestamp(schema, path, node):
            raise _wrong(path, "may be a timestamp only at the top level or in the objects of a top-level array")


def _may_be_timestamp(schema: Schema, path: str, node: Schema) -> bool:
    parts = path.split("/")[1:]
    if len(parts) == 1:
        return bool(schema.get("properties", {}).get(parts[0]) is node)
    if len(parts) != 3 or parts[1] != "*":
        return False
    items = schema.get("properties", {}).get(parts[0], {}).get("items")
    return isinstance(items, dict) and items.get("properties", {}).get(parts[2]) is node


def _place(path: str) -> str:
    return f"response_format.json_schema at {path or '/'}"


def _wrong(path: str, what: str) -> ApiError:
    return invalid(f"{_place(path)} {what}.")
