"""Schemas and values for property tests: small alphabets, so that they often meet."""

from typing import Any

from hypothesis import strategies as st

NAMES = st.sampled_from(["a", "b", "start", "x/y", ""])
STRINGS = st.sampled_from(["", "a", "ab", "abc", "b", "é", "😀", "a" * 9, "2024-01-02", "00:00:12", "x y"])
NUMBERS = st.sampled_from([0, 1, -1, 2, 3, 7, 1.0, 0.5, -0.5, 1e3, 10**18, 2**64, 1e300, -7])
SCALARS = st.none() | st.booleans() | NUMBERS | STRINGS
VALUES = st.recursive(
    SCALARS,
    lambda below: st.lists(below, max_size=4) | st.dictionaries(NAMES, below, max_size=4),
    max_leaves=10,
)
TYPES = st.sampled_from(["array", "boolean", "integer", "null", "number", "object", "string"])
SIZES = st.integers(0, 4)
REFERENCES = st.sampled_from(["#", "#/$defs/a", "#/$defs/b"])

_LEAVES = {
    "type": TYPES | st.lists(TYPES, min_size=1, max_size=3, unique=True),
    "enum": st.lists(VALUES, min_size=1, max_size=3),
    "const": VALUES,
    "minimum": NUMBERS,
    "maximum": NUMBERS,
    "exclusiveMinimum": NUMBERS,
    "exclusiveMaximum": NUMBERS,
    "multipleOf": st.sampled_from([1, 2, 0.5]),
    "minLength": SIZES,
    "maxLength": SIZES,
    "pattern": st.sampled_from(["^a", "b", "^$", "^[a-c]+$"]),
    "format": st.sampled_from(["date", "time", "uuid", "date-time"]),
    "minItems": SIZES,
    "maxItems": SIZES,
    "uniqueItems": st.booleans(),
    "minProperties": SIZES,
    "maxProperties": SIZES,
    "required": st.lists(NAMES, max_size=2, unique=True),
    "dependentRequired": st.dictionaries(NAMES, st.lists(NAMES, max_size=2, unique=True), max_size=2),
    "minContains": SIZES,
    "maxContains": SIZES,
    "$ref": REFERENCES,
    "description": st.just("said"),
}
# Assertions that a walk beside the parser follows, and those that wait for the end.
_FOLLOWED = {"items", "prefixItems", "properties", "additionalProperties", "allOf", "patternProperties"}


def _subschemas(below: st.SearchStrategy[Any]) -> dict[str, st.SearchStrategy[Any]]:
    lists = st.lists(below, min_size=1, max_size=2)
    maps = st.dictionaries(NAMES, below, max_size=3)
    return {
        "items": below,
        "prefixItems": lists,
        "properties": maps,
        "additionalProperties": below,
        "allOf": lists,
        "patternProperties": st.dictionaries(st.sampled_from(["^a", "b", "^s"]), below, max_size=2),
        "anyOf": lists,
        "oneOf": lists,
        "not": below,
        "if": below,
        "then": below,
        "else": below,
        "contains": below,
        "propertyNames": below,
        "dependentSchemas": maps,
        "unevaluatedProperties": st.booleans(),
        "unevaluatedItems": st.booleans(),
    }


def _schemas(below: st.SearchStrategy[Any], only: set[str] | None = None) -> st.SearchStrategy[Any]:
    keywords = _LEAVES | {name: part for name, part in _subschemas(below).items() if only is None or name in only}
    chosen = st.lists(st.sampled_from(sorted(keywords)), max_size=4, unique=True)
    return st.booleans() | chosen.flatmap(lambda names: st.fixed_dictionaries({name: keywords[name] for name in names}))


def _documents(only: set[str] | None) -> st.SearchStrategy[dict[str, Any]]:
    part = st.recursive(_schemas(st.booleans(), only), lambda below: _schemas(below, only), max_leaves=6)
    objects = part.filter(lambda schema: isinstance(schema, dict))
    return st.builds(lambda root, a, b: {**root, "$defs": {"a": a, "b": b}}, objects, part, part)


SCHEMAS = _documents(None)
FOLLOWED_SCHEMAS = _documents(_FOLLOWED)

# Pieces that make most texts nearly JSON.
SCRAPS = st.lists(
    st.sampled_from(
        [
            *["{", "}", "[", "]", ",", ":", '"', "\\", "\\u", "d83d", "\\ude00", "1", "-", "0", ".5", "e3", "E400"],
            *["true", "null", "fals", " ", "\n", "\t", "```", "```json\n", "`", "a", "é", "\x01", '{"a":', '"b"'],
            "[1",
            "NaN",
        ]
    ),
    max_size=14,
).map("".join)
