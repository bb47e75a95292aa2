"""JSON schemas: which are refused, and what is rewritten so that llguidance takes more of them.

llguidance compiles most keywords, but skips those that the schema's declared draft lacks, and
reports others without saying where. Here every keyword that restricts values and is not compiled
is refused with its path, whatever the draft. Some are rewritten to what accepts the same values:

    uniqueItems: false                 left out
    oneOf of excluding branches        anyOf
    oneOf of nothing but required      anyOf of each branch without what the others require
    dependencies and the like          anyOf of a schema without the property and what it demands

Two branches exclude each other if they have no type or constant in common, or are objects and
disagree on a property that one of them requires. Knows nothing of tokens.
Source: JSON Schema 2020-12, https://json-schema.org/draft/2020-12/json-schema-validation.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import unquote

from groundup.core import ConfigError

Schema = dict[str, Any]
UNSUPPORTED = (
    "not", "if", "contains", "uniqueItems", "propertyNames", "unevaluatedItems",
    "unevaluatedProperties", "$dynamicRef", "$recursiveRef", "extends", "disallow", "divisibleBy",
)  # fmt: skip
LATER = {
    "const": ("draft-03", "draft-04"),
    "prefixItems": ("draft-03", "draft-04", "draft-06", "draft-07", "2019-09"),
}
"""Keywords that are skipped where the schema declares a draft that lacks them."""
DEPENDENCIES = ("dependencies", "dependentRequired", "dependentSchemas")
SINGLE = ("additionalProperties", "additionalItems", "items")
LISTED = ("allOf", "anyOf", "oneOf", "prefixItems", "items")
NAMED = ("properties", "patternProperties", *DEPENDENCIES)
ANNOTATIONS = frozenset(("title", "description", "$comment", "default", "examples"))
OBJECT_KEYWORDS = frozenset(("properties", "patternProperties", "additionalProperties"))
TYPES = frozenset(("null", "boolean", "number", "string", "array", "object"))
MAX_DEPTH, MAX_BRANCHES = 3, 100
"""Bounds of the comparison of oneOf's branches: nested properties, and branches."""


def prepare_schema(schema: Schema) -> Schema:
    """A copy that llguidance compiles without leaving a restriction out.

    >>> prepare_schema({"type": "array", "items": {"uniqueItems": False, "type": "string"}})
    {'type': 'array', 'items': {'type': 'string'}}

    Raises ConfigError naming the keyword that cannot be compiled, and where it is.
    """
    root = json.loads(json.dumps(schema))
    try:
        for value in _reachable(root):
            _rewrite(value, root)
    except (TypeError, AttributeError, RecursionError) as error:
        raise ConfigError(f"The JSON schema is malformed ({error}); check its keywords.") from None
    return root


def _reachable(root: Schema) -> list[Schema]:
    """Every schema that the root uses, the inner ones first; none has an unsupported keyword."""
    todo, paths = [("#", root)], set[str]()
    while todo:
        path, value = todo.pop()
        if path in paths or not isinstance(value, dict):
            continue
        paths.add(path)
        if value.get("uniqueItems") is False:
            del value["uniqueItems"]
        _refuse_unsupported(path, value, root)
        todo += _subschemas(path, value)
        if isinstance(reference := value.get("$ref"), str):
            todo += _referenced(reference, root)
    return [_resolve(path, root) for path in sorted(paths, key=len, reverse=True)]


def _refuse_unsupported(path: str, schema: Schema, root: Schema) -> None:
    draft = str(root.get("$schema"))
    later = [name for name, drafts in LATER.items() if any(each in draft for each in drafts)]
    names = (*UNSUPPORTED, *later)
    if name := next((name for name in names if name in schema), None):
        raise ConfigError(
            f"The JSON schema has {name} at {path}, which no grammar can hold; leave it out and "
            "check the answer for it."
        )


def _subschemas(path: str, schema: Schema) -> Iterator[tuple[str, Any]]:
    for name, value in schema.items():
        if isinstance(value, list) and name in LISTED:
            yield from ((f"{path}/{name}/{i}", each) for i, each in enumerate(value))
        elif isinstance(value, dict) and name in NAMED:
            yield from ((f"{path}/{name}/{_escape(key)}", each) for key, each in value.items())
        elif name in SINGLE:
            yield f"{path}/{name}", value


def _referenced(reference: str, root: Schema) -> Iterator[tuple[str, Any]]:
    """The schema of a reference; of one by name, every definition, among which it is."""
    if reference.startswith("#/") or reference == "#":
        yield reference, _resolve(reference, root)
        return
    for name in ("definitions", "$defs"):
        if isinstance(group := root.get(name), dict):
            yield from ((f"#/{name}/{_escape(key)}", each) for key, each in group.items())


def _escape(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1").replace("%", "%25")


def _resolve(path: str, root: Schema) -> Any:
    """What a JSON pointer leads to; None if nothing is there."""
    value: Any = root
    for word in path.split("/")[1:]:
        key = unquote(word).replace("~1", "/").replace("~0", "~")
        if isinstance(value, list) and key.isdigit() and int(key) < len(value):
            value = value[int(key)]
        else:
            value = value.get(key) if isinstance(value, dict) else None
    return value


def _rewrite(schema: Schema, root: Schema) -> None:
    """Replace oneOf and dependencies of one schema where that changes no accepted value."""
    added = list[Schema]()
    branches = schema.get("oneOf")
    if isinstance(branches, list) and (exclusive := _exclusive_branches(schema, root)):
        del schema["oneOf"]
        added.append({"anyOf": exclusive})
    for name in DEPENDENCIES:
        if isinstance(schema.get(name), dict):
            for key, demand in schema.pop(name).items():
                met = {"required": [key, *demand]} if isinstance(demand, list) else demand
                added.append({"anyOf": [{"properties": {key: False}}, met]})
    if len(added) == 1 and "anyOf" not in schema:
        schema |= added[0]
    elif added:
        schema["allOf"] = [*schema.get("allOf", []), *added]


def _exclusive_branches(schema: Schema, root: Schema) -> list[Any] | None:
    """Branches of which at most one can be valid and that replace oneOf's; None if unknown."""
    branches = schema["oneOf"]
    if all(
        isinstance(each, dict) and each.keys() - ANNOTATIONS == {"required"} for each in branches
    ):
        return list(_without_others([each["required"] for each in branches]))
    rest = {name: value for name, value in schema.items() if name != "oneOf"}
    if len(branches) > MAX_BRANCHES:
        return None
    inside = [{"allOf": [each, rest]} for each in branches]
    pairs = [(left, right) for i, left in enumerate(inside) for right in inside[:i]]
    return branches if all(_excludes(left, right, root) for left, right in pairs) else None


def _without_others(required: Sequence[Sequence[str]]) -> Iterator[Schema]:
    """Objects that have all properties of one group and lack some property of each other one."""
    for i, group in enumerate(required):
        others = [set(other) - set(group) for j, other in enumerate(required) if j != i]
        if all(others):
            lacking = [{"anyOf": [{"properties": {k: False}} for k in sorted(o)]} for o in others]
            yield {"type": "object", "required": list(group), "allOf": lacking}


def _excludes(left: Any, right: Any, root: Schema, depth: int = MAX_DEPTH) -> bool:
    """Whether no value is valid under both schemas; False if that is not certain."""
    left, right = _flatten(left, root, set()), _flatten(right, root, set())
    if left is None or right is None or depth == 0:
        return left is None or right is None
    common = _types(left) & _types(right)
    if not common:
        return True
    values = _constants(left), _constants(right)
    if values[0] is not None and values[1] is not None and not values[0] & values[1]:
        return True
    if common != {"object"}:
        return False
    required = {*left.get("required", ()), *right.get("required", ())}
    return any(
        _excludes(_property(left, key), _property(right, key), root, depth - 1) for key in required
    )


def _flatten(schema: Any, root: Schema, followed: set[str]) -> Schema | None:
    """A schema with the keywords of what it includes; None if it accepts nothing.

    It may be wider: of a keyword that two have, one is kept, each reference is followed once, and
    what stands beside a reference is left out, as older drafts do.
    """
    if not isinstance(schema, dict):
        return None if schema is False else {}
    merged, others = dict(schema), list(schema.get("allOf", ()))
    merged.pop("allOf", None)
    if isinstance(reference := schema.get("$ref"), str):
        is_pointer = reference == "#" or reference.startswith("#/")
        is_new = is_pointer and reference not in followed
        merged, others = {}, [_resolve(reference, root)] if is_new else []
        followed.add(reference)
    for other in others:
        flat = _flatten(other, root, followed)
        if flat is None:
            return None
        if merged.keys() & OBJECT_KEYWORDS:  # additionalProperties is about its own properties
            flat = {name: value for name, value in flat.items() if name not in OBJECT_KEYWORDS}
        if "type" in flat and "type" in merged:
            merged["type"] = sorted(_types(flat) & _types(merged))
        if "required" in flat and "required" in merged:
            merged["required"] = [*flat["required"], *merged["required"]]
        merged = flat | merged
    return merged


def _types(schema: Schema) -> frozenset[str]:
    """Types of the values that a schema may accept, integers being numbers."""
    named = schema.get("type", TYPES)
    types = {named} if isinstance(named, str) else set(named)
    types = {"number" if name == "integer" else name for name in types}
    constants = _constants(schema)
    return frozenset(types if constants is None else types & {type for type, _ in constants})


def _constants(schema: Schema) -> set[tuple[str, Any]] | None:
    """The only values that a schema may accept, with their types; None if they are not listed."""
    values = [schema["const"]] if "const" in schema else schema.get("enum")
    kinds = {type(None): "null", bool: "boolean", int: "number", float: "number", str: "string"}
    if not isinstance(values, list) or not all(type(each) in kinds for each in values):
        return None
    return {(kinds[type(each)], each) for each in values}


def _property(schema: Schema, key: str) -> Any:
    """The schema of a property; False if it is forbidden, True if nothing is said of it."""
    properties: Mapping[str, Any] = schema.get("properties", {})
    if key in properties:
        return properties[key]
    return bool(schema.get("patternProperties")) or schema.get("additionalProperties") is not False
