"""Admission of a request's JSON Schema: bounded first, translated, then compiled once.

Nothing is spent upstream on a schema that is refused here, and no validator sees one that could hang or
abort it. Keywords that the cloud refuses (``maxLength``, ``maxItems``, ...) are the cloud's answer to give.
"""

from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha256
from typing import Any

import jsonschema_rs
import orjson

from protocol.pointers import child, joined
from protocol.schema.bounds import SchemaInvalid, SchemaMap, canonical
from protocol.schema.dialect import translate
from protocol.schema.expansion import check_expansion
from protocol.schema.pattern_cost import check_patterns

__all__ = ["AdmittedSchema", "SchemaInvalid", "admit"]

# Bytes of one compiled pattern; the default lets a single one take 200 ms.
_PATTERN_BYTES = 2 << 20
_KEPT_SCHEMAS = 128


@dataclass(frozen=True, slots=True)
class AdmittedSchema:
    """A schema within bounds, translated to plain Draft 2020-12 and compiled.

    Attributes:
        canonical: the caller's schema as canonical JSON.
        sha256: of ``canonical``, in hex: the identity of the schema by value.
        subschemas: every subschema of the translated document, by pointer.
        targets: for the pointer of each reference, the pointer of the schema it leads to.
        validator: of the whole document; safe to use from any thread.
    """

    canonical: bytes
    sha256: str
    subschemas: dict[str, Any]
    targets: dict[str, str]
    validator: jsonschema_rs.Validator = field(repr=False)
    _spelled: dict[str, str] = field(repr=False)
    # Compiled when first asked for. Filled from any thread: two of them at most do the same work twice.
    _parts: dict[str, jsonschema_rs.Validator] = field(repr=False, default_factory=dict)
    _keywords: dict[str, jsonschema_rs.Validator] = field(repr=False, default_factory=dict)
    _patterns: dict[str, jsonschema_rs.Validator] = field(repr=False, default_factory=dict)

    @property
    def document(self) -> dict[str, Any]:
        """The translated schema."""
        root: dict[str, Any] = self.subschemas[""]
        return root

    def at(self, pointer: str) -> jsonschema_rs.Validator:
        """Return the validator of the subschema at ``pointer``, one of ``subschemas``.

        All parts are compiled together when the first is asked for.
        """
        if not pointer:
            return self.validator
        if not self._parts:
            compiled = jsonschema_rs.validator_map_for(self.document, **_options())
            self._parts.update({place: compiled[_fragment(place)] for place in self.subschemas})
        return self._parts[pointer]

    def keyword(self, pointer: str, keyword: str) -> jsonschema_rs.Validator:
        """Return the validator of one keyword of the subschema at ``pointer``, all others left out.

        Only for keywords that hold no subschema.
        """
        place = child(pointer, keyword)
        if place not in self._keywords:
            self._keywords[place] = _compiled({keyword: self.subschemas[pointer][keyword]})
        return self._keywords[place]

    def pattern(self, pattern: str) -> jsonschema_rs.Validator:
        """Return what tells whether a string, such as a member's name, matches ``pattern``."""
        if pattern not in self._patterns:
            self._patterns[pattern] = _compiled({"pattern": pattern})
        return self._patterns[pattern]

    def spelled(self, keyword_pointer: str) -> str:
        """Return where the caller's own schema says what the keyword at this pointer says."""
        return self._spelled.get(keyword_pointer, keyword_pointer)


def admit(schema: object, *, clock_times: bool = False) -> AdmittedSchema:
    """Bound, translate and compile a request's schema; the same schema again is found compiled.

    Args:
        schema: the member ``json_schema`` as parsed JSON; not changed.
        clock_times: the request asks for pegasus1.5, whose string ``start_time`` and ``end_time``
            members are judged as ``hh:mm:ss.fff``.

    Raises:
        SchemaInvalid: with the pointer of the offending place; within 50 ms, whatever the schema.
    """
    return _admit_canonical(canonical(schema), clock_times)


@lru_cache(maxsize=_KEPT_SCHEMAS)
def _admit_canonical(encoded: bytes, clock_times: bool) -> AdmittedSchema:
    document = orjson.loads(encoded)
    schemas = SchemaMap(document)
    check_expansion(schemas)
    check_patterns(schemas)
    spelled = translate(schemas.subschemas, clock_times=clock_times)
    return AdmittedSchema(
        canonical=encoded,
        sha256=sha256(encoded).hexdigest(),
        subschemas=schemas.subschemas,
        targets=schemas.targets,
        validator=_compiled(document),
        _spelled=spelled,
    )


def _compiled(document: dict[str, Any]) -> jsonschema_rs.Validator:
    try:
        return jsonschema_rs.Draft202012Validator(document, **_options())
    except jsonschema_rs.ValidationError as exc:
        raise SchemaInvalid(joined(exc.instance_path), exc.message) from exc
    except (ValueError, jsonschema_rs.ReferencingError) as exc:
        raise SchemaInvalid("", "the schema does not compile") from exc


def _options() -> dict[str, Any]:
    return {
        # By default references are fetched over the network and from disk.
        "offline": True,
        # The default engine backtracks: `^(a+)+$` hangs it.
        "pattern_options": jsonschema_rs.RegexOptions(size_limit=_PATTERN_BYTES),
        "validate_formats": True,
        "mask": "this value",
    }


def _fragment(pointer: str) -> str:
    return f"#{pointer}"
