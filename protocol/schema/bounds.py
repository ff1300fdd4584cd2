"""What a request schema must keep within before any validator sees it.

jsonschema-rs 0.60 was seen to abort the process on exponential ``$ref``, and to run for minutes on a
kilobyte of nested ``unevaluatedProperties`` without any; no exception tells of either. So the bounds
are counted here, on plain JSON, in time linear in the schema:

- at most 64 KiB of canonical JSON, nested at most 64 deep;
- references stay inside the document, wherever they stand, and point at a schema;
- at most 4,000 subschemas as written;
- the bounds on expansion and on patterns: see ``schema_expansion`` and ``pattern_cost``.
"""

from bisect import bisect_left
from urllib.parse import unquote

import orjson

from protocol.pointers import child, resolve
from protocol.schema.shape import LITERAL, PLACED, applied, kept, references

MAX_BYTES = 64 * 1024
MAX_DEPTH = 64
# As written, in 64 KiB: beyond any schema that means something; each costs 10 microseconds to admit.
MAX_SUBSCHEMAS = 4000


class SchemaInvalid(ValueError):
    """A request schema cannot be used; the caller's 400 ``schema_invalid``.

    Attributes:
        pointer: RFC 6901 pointer of the offending place in the schema.
        message: what is wrong there; quotes nothing of the schema.
    """

    code = "schema_invalid"

    def __init__(self, pointer: str, message: str) -> None:
        super().__init__(f"{pointer or 'the schema'}: {message}")
        self.pointer = pointer
        self.message = message


def canonical(schema: object) -> bytes:
    """Return the canonical JSON (sorted keys, compact) of ``schema``, measured first.

    Raises:
        SchemaInvalid: not an object, larger than 64 KiB, deeper than 64, or not JSON.
    """
    if not isinstance(schema, dict):
        raise SchemaInvalid("", "a schema is an object here")
    _measure(schema)
    try:
        encoded = orjson.dumps(schema, option=orjson.OPT_SORT_KEYS)
    except (TypeError, ValueError) as exc:
        raise SchemaInvalid("", "the schema is not JSON") from exc
    if len(encoded) > MAX_BYTES:
        raise SchemaInvalid("", f"the schema is larger than {MAX_BYTES} bytes")
    return encoded


def _measure(schema: object) -> None:
    """Refuse what is too deep or certainly too large, after a look at no more than 64 Ki values.

    The size is a lower bound: without it ten megabytes would be encoded only to be refused.
    """
    level: list[object] = [schema]
    size = 0
    for _ in range(MAX_DEPTH):
        below: list[object] = []
        for value in level:
            if isinstance(value, dict):
                size += sum([len(name) + 3 for name in value if isinstance(name, str)])
            for part in value.values() if isinstance(value, dict) else value:  # type: ignore[attr-defined]
                size += 1 + (len(part) if isinstance(part, str) else 0)
                if isinstance(part, dict | list):
                    below.append(part)
                if size > MAX_BYTES:
                    raise SchemaInvalid("", f"the schema is larger than {MAX_BYTES} bytes")
        if not below:
            return
        level = below
    raise SchemaInvalid("", f"the schema is nested deeper than {MAX_DEPTH}")


class SchemaMap:
    """Every subschema of a document, and where each reference leads.

    Attributes:
        subschemas: by pointer; those that are only referred to included.
        targets: for the pointer of each reference (``/a/$ref``), the pointer of its schema.
    """

    def __init__(self, document: dict[str, object]) -> None:
        """Walk ``document``, which :func:`canonical` has measured.

        Raises:
            SchemaInvalid: a reference leaves the document or leads nowhere.
        """
        self.subschemas: dict[str, object] = {}
        self.targets: dict[str, str] = {}
        self._document = document
        self._anchors: dict[str, str] = {}
        self._open: list[tuple[str, str]] = []  # references found and not yet followed
        self._embedded: list[str] = []  # subschemas that call themselves documents
        self._strangers: set[int] = set()  # what stands under unknown keywords and was looked through
        self._walk("", document)
        while self._open:
            pointer, reference = self._open.pop()
            self.targets[pointer] = target = self._target(pointer, reference)
            # It may lead to what no keyword holds; being referred to makes that a schema.
            self._walk(target, resolve(document, target))
        self._check_embedded()

    def _walk(self, pointer: str, schema: object) -> None:
        waiting = [(pointer, schema)]
        while waiting:
            place, part = waiting.pop()
            if place in self.subschemas:
                continue
            if len(self.subschemas) == MAX_SUBSCHEMAS:
                raise SchemaInvalid("", f"the schema has more than {MAX_SUBSCHEMAS} subschemas")
            self.subschemas[place] = part
            if isinstance(part, dict):
                if not part.keys() <= PLACED:
                    self._note(place, part)
                waiting.extend((where, sub) for _, where, sub in applied(part, place))
                waiting.extend(kept(part, place))

    def _note(self, pointer: str, schema: dict[str, object]) -> None:
        for keyword, reference in references(schema):
            _check_local(child(pointer, keyword), reference)
            self._open.append((child(pointer, keyword), reference))
        for keyword, value in schema.items():
            if keyword not in PLACED and isinstance(value, dict | list):
                self._look_through(child(pointer, keyword), value)
        for keyword in ("$anchor", "$dynamicAnchor"):
            name = schema.get(keyword)
            if isinstance(name, str) and self._anchors.setdefault(name, pointer) != pointer:
                raise SchemaInvalid(child(pointer, keyword), "this anchor is used twice")
        if pointer and "$id" in schema:
            self._embedded.append(pointer)

    def _look_through(self, pointer: str, value: object) -> None:
        """Check the references under a keyword that nobody knows; once, though it may become a schema."""
        waiting = [(pointer, value)]
        while waiting:
            place, part = waiting.pop()
            if id(part) in self._strangers:
                continue
            self._strangers.add(id(part))
            if isinstance(part, dict):
                for keyword, reference in references(part):
                    _check_local(child(place, keyword), reference)
                below = [(child(place, name), sub) for name, sub in part.items() if name not in LITERAL]
            else:
                assert isinstance(part, list)
                below = [(f"{place}/{index}", sub) for index, sub in enumerate(part)]
            waiting += [entry for entry in below if isinstance(entry[1], dict | list)]

    def _check_embedded(self) -> None:
        """Refuse references below an embedded ``$id``: they would count from there, not from the root."""
        known = sorted(self.targets)
        for pointer in self._embedded:
            place = bisect_left(known, f"{pointer}/")
            if place < len(known) and known[place].startswith(f"{pointer}/"):
                raise SchemaInvalid(child(pointer, "$id"), "references below an embedded $id are not supported")

    def _target(self, pointer: str, reference: str) -> str:
        fragment = unquote(reference[1:], errors="replace")
        target = fragment if fragment[:1] in ("", "/") else self._anchors.get(fragment)
        try:
            found = None if target is None else resolve(self._document, target)
        except (LookupError, ValueError):
            found = None
        if target is None or not isinstance(found, dict | bool):
            raise SchemaInvalid(pointer, "this reference leads to no schema in the document")
        return target


def _check_local(pointer: str, reference: str) -> None:
    if not reference.startswith("#"):
        raise SchemaInvalid(pointer, "references must stay inside the schema: #, #/pointer or #anchor")
