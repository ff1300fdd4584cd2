"""Where a JSON Schema (Draft 2020-12) keeps its subschemas: read once, by position, never by name alone.

A member called ``$ref`` of a ``properties`` object is a property, and one inside ``const`` is plain
data; only the position tells. Everything that walks schemas (bounds, dialect, early check,
explanation) asks here.
"""

from collections.abc import Iterator

from protocol.pointers import child

# One subschema as the value, judged on the same instance, or on its children.
HOLDS_ONE = frozenset(
    {
        "additionalProperties",
        "contains",
        "contentSchema",
        "else",
        "if",
        "items",
        "not",
        "propertyNames",
        "then",
        "unevaluatedItems",
        "unevaluatedProperties",
    }
)
HOLDS_LIST = frozenset({"allOf", "anyOf", "oneOf", "prefixItems"})
HOLDS_MAP = frozenset({"dependentSchemas", "patternProperties", "properties"})
# Kept for `$ref` to point at; not applied where they stand. `definitions` is the older spelling.
LIBRARY = frozenset({"$defs", "definitions"})
# What stands in these is data, whatever it looks like.
LITERAL = frozenset({"const", "default", "enum", "example", "examples"})
# Keywords that hold plain values.
PLAIN = frozenset(
    {
        "$comment",
        "dependentRequired",
        "deprecated",
        "description",
        "exclusiveMaximum",
        "exclusiveMinimum",
        "format",
        "maxContains",
        "maxItems",
        "maxLength",
        "maxProperties",
        "maximum",
        "minContains",
        "minItems",
        "minLength",
        "minProperties",
        "minimum",
        "multipleOf",
        "pattern",
        "readOnly",
        "required",
        "title",
        "type",
        "uniqueItems",
        "writeOnly",
    }
)
# Elsewhere stand references, names, and keywords that nobody knows.
PLACED = HOLDS_ONE | HOLDS_LIST | HOLDS_MAP | LIBRARY | LITERAL | PLAIN
REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")
UNEVALUATED = frozenset({"unevaluatedItems", "unevaluatedProperties"})


def applied(schema: dict[str, object], pointer: str) -> Iterator[tuple[str, str, object]]:
    """Yield ``(keyword, pointer, subschema)`` for each subschema applied by ``schema`` itself."""
    for keyword, value in schema.items():
        if keyword in HOLDS_ONE:
            yield keyword, child(pointer, keyword), value
        elif keyword in HOLDS_LIST and isinstance(value, list):
            base = child(pointer, keyword)
            yield from ((keyword, f"{base}/{index}", part) for index, part in enumerate(value))
        elif keyword in HOLDS_MAP and isinstance(value, dict):
            base = child(pointer, keyword)
            yield from ((keyword, child(base, name), part) for name, part in value.items())


def kept(schema: dict[str, object], pointer: str) -> Iterator[tuple[str, object]]:
    """Yield ``(pointer, subschema)`` for each entry of the schema's own ``$defs``."""
    for keyword in LIBRARY:
        entries = schema.get(keyword)
        if isinstance(entries, dict):
            base = child(pointer, keyword)
            yield from ((child(base, name), part) for name, part in entries.items())


def references(schema: dict[str, object]) -> Iterator[tuple[str, str]]:
    """Yield ``(keyword, reference)`` for each reference that ``schema`` itself makes."""
    for keyword in REFERENCES:
        reference = schema.get(keyword)
        if isinstance(reference, str):
            yield keyword, reference
