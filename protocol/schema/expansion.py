"""How large a schema grows when its references are followed, counted without following them.

The count is what a validator may have to visit for one value: each subschema reached through ``$ref``,
once for each way to reach it. Doubling references therefore count double at each step, while schemas
that refer back to themselves (trees, lists) form a group whose members count once for each way into it:
their further turns are paid by the document, which is bounded elsewhere.

Nested ``unevaluated*`` is bounded as well. jsonschema-rs judges everything below such a keyword twice or
more, so each level multiplies: 12 levels took 17 ms, 16 half a second and 20 half a minute, for ``{"a":1}``.
"""

from collections.abc import Iterable
from typing import NamedTuple

from protocol.pointers import child
from protocol.schema.bounds import SchemaInvalid, SchemaMap
from protocol.schema.shape import UNEVALUATED, applied, references

MAX_EXPANDED = 1000
MAX_UNEVALUATED = 4
_SATURATED = 1_000_000


class _Edge(NamedTuple):
    target: str
    by_reference: bool
    keyword: str


class _Size(NamedTuple):
    """What one group costs to enter, and what lies below it."""

    whole: int  # subschemas visited
    referred: int  # of these, reached through a reference
    unevaluated: int  # nesting


def check_expansion(schemas: SchemaMap) -> None:
    """Refuse a document that expands to too much.

    Raises:
        SchemaInvalid: more than 1,000 subschemas through ``$ref``, ``unevaluated*`` nested deeper
            than 4, or recursion that passes through ``unevaluated*``.
    """
    if not schemas.targets and not any(_is_unevaluated(schema) for schema in schemas.subschemas.values()):
        return
    edges = {pointer: _edges(schemas, pointer) for pointer in schemas.subschemas}
    sizes: dict[str, _Size] = {}
    # Each group comes after all groups that it leads to.
    for group in _groups(edges):
        size = _size(group, edges, sizes, schemas)
        if size.unevaluated > MAX_UNEVALUATED:
            raise SchemaInvalid(group[0], f"unevaluated* is nested deeper than {MAX_UNEVALUATED} here")
        sizes.update(dict.fromkeys(group, size))
    if sizes[""].referred > MAX_EXPANDED:
        raise SchemaInvalid("", f"the schema expands to more than {MAX_EXPANDED} subschemas through $ref")


def _edges(schemas: SchemaMap, pointer: str) -> list[_Edge]:
    schema = schemas.subschemas[pointer]
    if not isinstance(schema, dict):
        return []
    below = [_Edge(where, False, keyword) for keyword, where, _ in applied(schema, pointer)]
    aside = [_Edge(schemas.targets[child(pointer, keyword)], True, keyword) for keyword, _ in references(schema)]
    return below + aside


def _size(group: list[str], edges: dict[str, list[_Edge]], sizes: dict[str, _Size], schemas: SchemaMap) -> _Size:
    members = set(group)
    whole, referred, nesting, own = len(group), 0, 0, 0
    for pointer in group:
        schema = schemas.subschemas[pointer]
        own += _is_unevaluated(schema)
        for edge in edges[pointer]:
            if edge.target not in members:
                below = sizes[edge.target]
                whole += below.whole
                referred += below.whole if edge.by_reference else below.referred
                nesting = max(nesting, below.unevaluated)
            elif edge.keyword in UNEVALUATED:
                raise SchemaInvalid(child(pointer, edge.keyword), "recursion here is not supported")
            else:
                referred += edge.by_reference
    return _Size(min(whole, _SATURATED), min(referred, _SATURATED), nesting + own)


def _is_unevaluated(schema: object) -> bool:
    return isinstance(schema, dict) and not UNEVALUATED.isdisjoint(schema)


def _groups(edges: dict[str, list[_Edge]]) -> Iterable[list[str]]:
    """Yield the strongly connected groups, referred-to ones first (Tarjan 1972, without recursion)."""
    order: dict[str, int] = {}
    low: dict[str, int] = {}
    pending: list[str] = []
    is_pending: set[str] = set()
    for root, first in edges.items():
        if root in order:
            continue
        stack = [(root, iter(first))]
        while stack:
            node, rest = stack[-1]
            if node not in order:
                order[node] = low[node] = len(order)
                pending.append(node)
                is_pending.add(node)
            for edge in rest:
                if edge.target not in order:
                    stack.append((edge.target, iter(edges[edge.target])))
                    break
                if edge.target in is_pending:
                    low[node] = min(low[node], order[edge.target])
            else:
                stack.pop()
                if stack:
                    parent = stack[-1][0]
                    low[parent] = min(low[parent], low[node])
                if low[node] == order[node]:
                    yield _popped(pending, is_pending, node)


def _popped(pending: list[str], is_pending: set[str], first: str) -> list[str]:
    group = [pending.pop()]
    while group[-1] != first:
        group.append(pending.pop())
    is_pending.difference_update(group)
    return group
