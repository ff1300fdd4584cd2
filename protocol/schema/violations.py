"""One way in which a text breaks its schema, and the words for it.

The early check and the final verdict speak through the same table, so that the same fault reads the same
whenever it is told. No message quotes a value of the text; names of members are shown cut.
"""

from dataclasses import asdict, dataclass
from typing import Any

_SHOWN_CHARACTERS = 40


@dataclass(frozen=True, slots=True)
class Violation:
    """A fault in the delivered text.

    Attributes:
        pointer: RFC 6901, the value that is wrong (for ``required`` and ``additionalProperties`` the object).
        schema_pointer: RFC 6901, the keyword in the caller's schema; ``""`` when the text is no JSON.
        keyword: the keyword, or ``syntax``, ``incomplete``, ``depth``, ``surrogate``, ``number`` for
            a text that is no JSON.
        message: for a person.
        at: offset in the delivered text in UTF-8 bytes.
    """

    pointer: str
    schema_pointer: str
    keyword: str
    message: str
    at: int

    def members(self) -> dict[str, Any]:
        """Return it as the contract's JSON object."""
        return asdict(self)


_WORDS = {
    "anyOf": "must fit one of the alternatives of anyOf",
    "const": "must be the constant of the schema",
    "contains": "must contain as many fitting elements as the schema asks for",
    "dependentRequired": "lacks a member that another one requires",
    "enum": "must be one of the values of enum",
    "exclusiveMaximum": "must be less than {limit}",
    "exclusiveMinimum": "must be greater than {limit}",
    "false": "must not be present",
    "format": "must have the format {limit}",
    "maxItems": "must have at most {limit} elements",
    "maxLength": "must have at most {limit} characters",
    "maxProperties": "must have at most {limit} members",
    "maximum": "must be at most {limit}",
    "minItems": "must have at least {limit} elements",
    "minLength": "must have at least {limit} characters",
    "minProperties": "must have at least {limit} members",
    "minimum": "must be at least {limit}",
    "multipleOf": "must be a multiple of {limit}",
    "not": "must not fit the schema under not",
    "oneOf": "must fit exactly one of the alternatives of oneOf",
    "pattern": "must match the pattern",
    "propertyNames": "has a member whose name is not allowed",
    "unevaluatedItems": "has elements that the schema does not allow",
    "unevaluatedProperties": "has members that the schema does not allow",
    "uniqueItems": "must not have equal elements",
}


def words(keyword: str, limit: object = None, name: str | None = None) -> str:
    """Return the message for a broken keyword.

    Args:
        keyword: of the schema.
        limit: the keyword's value in the schema.
        name: the member that is missing or not allowed.
    """
    if keyword == "type":
        return f"must be of type {' or '.join(limit) if isinstance(limit, list) else limit}"
    if keyword == "required":
        return f"lacks the required member {shown(name or '')}"
    if keyword == "additionalProperties":
        return f"has a member that is not allowed: {shown(name or '')}"
    template = _WORDS.get(keyword, "does not fit the schema")
    return template.format(limit=str(limit)[:_SHOWN_CHARACTERS])


def told(where: str, spelled: str, keyword: str, limit: object, name: str | None = None) -> tuple[str, str, str]:
    """Return schema pointer, keyword and message for a broken keyword.

    Args:
        where: the keyword's pointer in the translated schema.
        spelled: what stands for it in the caller's schema; mostly the same.
        keyword: as translated.
        limit: the keyword's value.
        name: the member that is missing or not allowed.
    """
    if spelled == where:
        return where, keyword, words(keyword, limit, name)
    keyword = spelled.rpartition("/")[2]
    return spelled, keyword, words(keyword, "timestamp")


def shown(name: str) -> str:
    """Return a member's name, quoted, cut to 40 characters."""
    cut = name if len(name) <= _SHOWN_CHARACTERS else name[: _SHOWN_CHARACTERS - 1] + "…"
    return f'"{cut}"'
