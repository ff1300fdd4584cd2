"""Fill a JSON Schema from measurements: bind its members to concepts, then write as they are measured.

Binding decides, before anything is measured, what each member will hold. A member that
nothing measures is left out where it may be, else null or an offered ``unknown``; where
none of these is allowed the schema is refused. What is written is valid by construction.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any, Protocol

from engine.errors import ApiError, invalid
from engine.facts.intent import Intent
from engine.facts.timeline import Timeline
from engine.senses import language_lack, missing_reader, not_installed, speech_lack, things_lack
from engine.tell.schema_rules import Schema, check_schema, kinds_of, merged, resolve
from engine.tell.values import Shape, json_text
from engine.tell.vocabulary import CLIP, SOURCES, Concept, Needs, Scope, Source, find_concept, find_sources, normalised

_UNKNOWN = ("unknown", "not_available", "n/a", "na", "undetermined", "unclear", "not available", "uncertain")


class Ungrounded(Exception):
    """No measurement stands for the value at ``path``."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason


class Lost(Ungrounded):
    """The value at ``path`` was to be measured, but this clip yields none that fits."""


class Node(Protocol):
    """A value to be written.

    ``write`` either raises ``Lost`` before its first fragment, or writes the value whole;
    where ``sure`` it never raises ``Lost``.
    """

    @property
    def sure(self) -> bool: ...

    @property
    def uses(self) -> Needs: ...

    def write(self, scope: Scope) -> Iterator[str]: ...


@dataclass(frozen=True, slots=True)
class Fixed:
    """A value that the schema itself settles."""

    value: Any
    sure: bool = True
    uses: Needs = frozenset()

    def write(self, scope: Scope) -> Iterator[str]:
        del scope
        yield json_text(self.value)


@dataclass(frozen=True, slots=True)
class Scalar:
    """One measurement, in the shape that the schema wants."""

    path: str
    concept: Concept
    shape: Shape
    uses: Needs

    @property
    def sure(self) -> bool:
        return self.concept.sure and self.shape.free

    def write(self, scope: Scope) -> Iterator[str]:
        value = self.concept.read(scope)
        if isinstance(value, Iterator) and self.shape.free:
            yield '"'
            for fragment in value:
                yield json_text(fragment)[1:-1]
            yield '"'
            return
        if isinstance(value, Iterator):
            value = "".join(value)
        fitting = None if value is None else self.shape.fit(value)
        if fitting is None:
            raise Lost(self.path, "was not found in this clip, or does not fit the schema")
        yield json_text(fitting)


@dataclass(frozen=True, slots=True)
class Choice:
    """The first of several values that is available."""

    nodes: tuple[Node, ...]

    @property
    def sure(self) -> bool:
        return any(node.sure for node in self.nodes)

    @property
    def uses(self) -> Needs:
        return frozenset[str]().union(*(node.uses for node in self.nodes))

    def write(self, scope: Scope) -> Iterator[str]:
        for node in self.nodes[:-1]:
            fragments = node.write(scope)
            try:
                first = next(fragments)
            except Lost:
                continue
            yield from chain([first], fragments)
            return
        yield from self.nodes[-1].write(scope)


@dataclass(frozen=True, slots=True)
class Record:
    """An object; members that turn out to be unavailable are left out where they may be."""

    members: tuple[tuple[str, Node, bool], ...]  # name, value, whether it is required

    @property
    def sure(self) -> bool:
        return all(node.sure for _, node, required in self.members if required)

    @property
    def uses(self) -> Needs:
        return frozenset[str]().union(*(node.uses for _, node, _ in self.members))

    def write(self, scope: Scope) -> Iterator[str]:
        if self.sure:
            yield from self.stream(scope)
        else:
            yield "".join(self.stream(scope))

    def stream(self, scope: Scope) -> Iterator[str]:
        """Write member by member; ``Lost`` may come in the middle."""
        yield "{"
        comma = ""
        for name, node, required in self.members:
            key = f"{comma}{json_text(name)}:"
            if required and node.sure:
                yield key  # the first words of an answer: the value may come later
                yield from node.write(scope)
            else:
                fragments = node.write(scope)
                try:
                    first = next(fragments)
                except Lost:
                    if required:
                        raise
                    continue
                yield from chain([key, first], fragments)
            comma = ","
        yield "}"


@dataclass(frozen=True, slots=True)
class Rows:
    """An array, each item written when it was measured."""

    path: str
    source: Source
    item: Node
    least: int

    @property
    def sure(self) -> bool:
        return self.least == 0

    @property
    def uses(self) -> Needs:
        return self.source.needs | self.source.uses | self.item.uses

    def write(self, scope: Scope) -> Iterator[str]:
        rows = enumerate(self.source.rows(scope))
        if self.least:
            first = next(rows, None)
            if first is None:
                raise Lost(self.path, "needs at least one item, but none was found in this clip")
            rows = chain([first], rows)  # type: ignore[assignment]
        yield "["
        for index, row in rows:
            if index:
                yield ","
            try:
                yield from self.item.write(Scope(scope.timeline, scope.intent, row, index))
            except Lost as exc:
                raise unfillable(exc) from exc
        yield "]"


@dataclass(slots=True)
class Binder:
    """Bind a schema to concepts.

    Attributes:
        lacking: examinations that cannot be made, with the reason.
        omitted: paths of members that were left out because nothing measures them.
    """

    root: Schema
    intent: Intent
    lacking: Mapping[str, str]
    omitted: list[str] = field(default_factory=list)

    def bind(
        self, node: Any, name: str, path: str, concepts: list[Concept], followed: frozenset[str] = frozenset()
    ) -> Node:
        """Return what will be written for a schema node.

        Raises:
            Ungrounded: nothing measures it.
        """
        branches = self._branches(node, followed)
        if len(branches) != 1:
            return self._choice(branches, name, path, concepts)
        node, followed = branches[0]
        try:
            return self._single(node, name, path, concepts, followed)
        except Ungrounded:
            if (instead := _offered(node)) is not None:
                return instead
            raise

    def _branches(self, node: Schema, followed: frozenset[str]) -> list[tuple[Schema, frozenset[str]]]:
        """Split a node into schemas of one type each, without references or choices.

        Each comes with the references that led to it: one that contains itself ends
        where it would begin again, since nothing measured nests that deep.
        """
        reference = node.get("$ref")
        if reference is not None:
            if reference in followed:
                return []
            followed = followed | {reference}
        node = resolve(self.root, node)
        if "anyOf" in node:
            base = {key: value for key, value in node.items() if key != "anyOf"}
            found = [
                (merged(base, schema), led)
                for branch in node["anyOf"]
                for schema, led in self._branches(branch, followed)
            ]
            return [(both, led) for both, led in found if both is not None]
        kinds = kinds_of(node) or _kinds_by_shape(node)
        return [({**node, "type": kind}, followed) for kind in kinds if kind != "null" or _takes(node, None)]

    def _choice(
        self, branches: list[tuple[Schema, frozenset[str]]], name: str, path: str, concepts: list[Concept]
    ) -> Node:
        """Bind what can be bound of several branches; null comes last."""
        nodes: list[Node] = []
        failure: Ungrounded | None = None
        for branch, followed in sorted(branches, key=lambda one: one[0]["type"] == "null"):
            try:
                nodes.append(self.bind(branch, name, path, concepts, followed))
            except Ungrounded as exc:
                failure = failure or exc
        if not nodes:
            raise failure or Ungrounded(path, "allows nothing, or contains itself without an end")
        return nodes[0] if len(nodes) == 1 else Choice(tuple(nodes))

    def _single(self, node: Schema, name: str, path: str, concepts: list[Concept], followed: frozenset[str]) -> Node:
        match node["type"]:
            case "null":
                return Fixed(None)
            case "object":
                return self._record(node, path, concepts, followed)
            case "array":
                return self._rows(node, name, path, followed)
            case kind:
                return self._scalar(node, kind, name, path, concepts)

    def _scalar(self, node: Schema, kind: str, name: str, path: str, concepts: list[Concept]) -> Node:
        shape = Shape.of(node, kind, name)
        found = find_concept(concepts, name, shape.kinds, str(node.get("description", "")))
        if found is None:
            if isinstance(node.get("const"), str):
                return Fixed(node["const"])  # the caller's own label, not a claim about the clip
            raise Ungrounded(path, "is not among what this engine measures")
        concept, unit = found
        self._check_needs(concept.needs, path)
        scalar = Scalar(path, concept, shape.measured(concept, unit), concept.needs | concept.uses)
        instead = _offered(node)
        return Choice((scalar, instead)) if instead is not None and not scalar.sure else scalar

    def _record(self, node: Schema, path: str, concepts: list[Concept], followed: frozenset[str]) -> Node:
        properties: dict[str, Any] = dict(node.get("properties", {}))
        required = [name for name in node.get("required", []) if isinstance(name, str)]
        for name in required:
            properties.setdefault(name, {})
        members: list[tuple[str, Node, bool]] = []
        for name, child in properties.items():
            where = f"{path}/{name}"
            try:
                members.append((name, self.bind(child, name, where, concepts, followed), name in required))
            except Ungrounded as exc:
                if name in required:
                    raise
                self.omitted.append(exc.path)
        if not members and (properties or path):
            raise Ungrounded(path, "has no member that this engine measures")
        return Record(tuple(_first_required_first(members)))

    def _rows(self, node: Schema, name: str, path: str, followed: frozenset[str]) -> Node:
        items = node.get("items", {"type": "string"})
        members = self._members(items)
        failure: Ungrounded | None = None
        for kind in find_sources(name, str(node.get("description", "")), members, self.intent):
            source = SOURCES[kind]
            before = len(self.omitted)
            try:
                self._check_needs(source.needs, path)
                item = self._item(items, source, path, followed)
            except Ungrounded as exc:
                failure = failure or exc
                del self.omitted[before:]
                continue
            if source.plain_rows and not isinstance(item, Record):
                source = replace(source, rows=source.plain_rows)
            return Rows(path, source, item, int(node.get("minItems", 0)))
        raise failure or Ungrounded(path, "is not among what this engine measures")

    def _item(self, items: Schema, source: Source, path: str, followed: frozenset[str]) -> Node:
        """Bind an array's item: an object by its members, a plain value by what the rows are."""
        where = f"{path}/*"
        kinds = {branch["type"] for branch, _ in self._branches(items, followed)}
        if "object" in kinds:
            return self.bind(items, "item", where, source.concepts, followed)
        if source.plain is None:
            raise Ungrounded(path, "is not among what this engine measures")
        return self.bind(items, "item", where, [replace(source.plain, names=r".*")], followed)

    def _members(self, items: Any) -> frozenset[str]:
        """Return the names of an item's members, and ``timestamp`` where one is of that type."""
        properties = resolve(self.root, items).get("properties", {}) if isinstance(items, dict) else {}
        kinds = {kind for node in properties.values() if isinstance(node, dict) for kind in kinds_of(node)}
        return frozenset(normalised(name) for name in properties) | ({"timestamp"} & kinds)

    def _check_needs(self, needs: Needs, path: str) -> None:
        for kind in sorted(needs):
            if kind in self.lacking:
                raise Ungrounded(path, f"needs an examination that cannot be made: {self.lacking[kind]}")


def _kinds_by_shape(node: Schema) -> tuple[str, ...]:
    """Guess the type of a schema that names none."""
    values = [*node.get("enum", []), *([node["const"]] if "const" in node else [])]
    if values:
        return tuple(dict.fromkeys(_json_type(value) for value in values))
    if "properties" in node or "required" in node:
        return ("object",)
    return ("array",) if "items" in node else ("string", "number", "boolean", "null")


def _takes(node: Schema, value: Any) -> bool:
    """Whether a schema's enum and const allow a value."""
    return value in node.get("enum", [value]) and value == node.get("const", value)


def _offered(node: Schema) -> Node | None:
    """Return null or ``unknown`` where an enum offers it."""
    values = node.get("enum", [])
    for value in values:
        if isinstance(value, str) and value.strip().lower() in _UNKNOWN:
            return Fixed(value)
    kinds = kinds_of(node)
    return Fixed(None) if None in values and (not kinds or "null" in kinds) else None


def _first_required_first(members: list[tuple[str, Node, bool]]) -> list[tuple[str, Node, bool]]:
    """Keep the declared order, except that a required member comes first if there is one."""
    first = next((member for member in members if member[2]), None)
    return members if first is None else [first, *(member for member in members if member is not first)]


def _json_type(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    return {str: "string", int: "integer", float: "number"}[type(value)]


@dataclass(frozen=True, slots=True)
class Plan:
    """A schema that can be filled.

    Attributes:
        uses: the examinations to be made for it.
        omitted: paths of optional members that nothing measures.
    """

    root: Node
    intent: Intent
    uses: Needs
    omitted: tuple[str, ...]


def plan(schema: Schema, intent: Intent, lacking: Mapping[str, str]) -> Plan:
    """Decide how a schema will be filled.

    Raises:
        ApiError: ``parameter_invalid``, naming the path of a required member that nothing
            measures.
    """
    binder = Binder(schema, intent, lacking)
    try:
        root = binder.bind(schema, "", "", CLIP)
    except Ungrounded as exc:
        raise invalid(
            f"response_format.json_schema: {exc.path or '/'} {exc.reason}. Make it optional or nullable, "
            "or ask for what was measured: shots, colours, light, motion, sound level, English speech, on-screen text, "
            "things."
        ) from exc
    return Plan(root, intent, root.uses, tuple(binder.omitted))


def check_fillable(intent: Intent, schema: Schema) -> None:
    """Refuse a schema that no clip could fill, before any media is touched.

    Raises:
        ApiError: as the API refuses it, or naming what nothing measures.
    """
    check_schema(schema)
    lacking = {}
    if lack := speech_lack():
        lacking["speech"] = lack
    if lack := language_lack():
        lacking["language"] = lack
    if package := missing_reader():
        lacking["on_screen_text"] = not_installed(package, "ocr")
    if lack := things_lack():
        lacking["things"] = lack
    plan(schema, intent, lacking)


def fill(filled: Plan, timeline: Timeline) -> Iterator[str]:
    """Yield the JSON text, as far as it was measured.

    Raises:
        ApiError: a required value turned out to be unavailable; what was written is void.
    """
    scope = Scope(timeline, filled.intent)
    try:
        if isinstance(filled.root, Record):
            yield from filled.root.stream(scope)
        else:
            yield from filled.root.write(scope)
    except Lost as exc:
        raise unfillable(exc) from exc


def unfillable(exc: Lost) -> ApiError:
    return invalid(f"response_format.json_schema: {exc.path or '/'} {exc.reason}.")
