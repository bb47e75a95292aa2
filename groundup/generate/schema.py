"""JSON schemas: which are refused, and what is rewritten so that llguidance takes more of them.

llguidance compiles most keywords, but skips those that the schema's declared draft lacks, and
reports others without saying where. Here every keyword that restricts values and is not compiled
is refused with its path, whatever the draft. Three are rewritten exactly:

    uniqueItems false                      left out
    oneOf whose branches exclude each other   anyOf
    dependencies, dependentRequired, dependentSchemas   without the property, or as it demands

Two branches exclude each other if they have no type or constant in common, or are objects and
disagree on a property that one of them requires. Knows nothing of tokens.
Source: JSON Schema 2020-12, https://json-schema.org/draft/2020-12/json-schema-validation.
"""

import json
from collections.abc import Iterator, Mapping
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
OBJECT_KEYWORDS = frozenset(("properties", "patternProperties", "additionalProperties"))
TYPES = frozenset(("null", "boolean", "number", "string", "array", "object"))
MAX_DEPTH = 8
"""References and branches that the comparison of two branches follows."""


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
    if isinstance(branches, list) and all(
        _excludes(left, right, root) for i, left in enumerate(branches) for right in branches[:i]
    ):
        added.append({"anyOf": schema.pop("oneOf")})
    for name in DEPENDENCIES:
        if isinstance(schema.get(name), dict):
            for key, demand in schema.pop(name).items():
                met = {"required": [key, *demand]} if isinstance(demand, list) else demand
                added.append({"anyOf": [{"properties": {key: False}}, met]})
    if len(added) == 1 and "anyOf" not in schema:
        schema |= added[0]
    elif added:
        schema["allOf"] = [*schema.get("allOf", []), *added]


def _excludes(left: Any, right: Any, root: Schema, depth: int = MAX_DEPTH) -> bool:
    """Whether no value is valid under both schemas; False if that is not certain."""
    left, right = _flatten(left, root, depth), _flatten(right, root, depth)
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


def _flatten(schema: Any, root: Schema, depth: int) -> Schema | None:
    """A schema with the keywords of what it refers to; None if it accepts nothing.

    Of a keyword that both have, one is kept, which leaves the schema as wide or wider.
    """
    if not isinstance(schema, dict):
        return None if schema is False else {}
    merged = dict(schema)
    others = [*merged.pop("allOf", ())]
    if isinstance(reference := merged.get("$ref"), str):
        others.append(_resolve(reference, root) if reference.startswith("#") else {})
    for other in others if depth else ():
        flat = _flatten(other, root, depth - 1)
        if flat is None:
            return None
        if merged.keys() & OBJECT_KEYWORDS:  # additionalProperties is about its own properties
            flat = {name: value for name, value in flat.items() if name not in OBJECT_KEYWORDS}
        merged = flat | merged
    return merged


def _types(schema: Schema) -> frozenset[str]:
    """Types of the values that a schema may accept, integers being numbers."""
    named = schema.get("type", TYPES)
    types = {named} if isinstance(named, str) else set(named)
    types = {"number" if name == "integer" else name for name in types}
    return frozenset(types)


def _constants(schema: Schema) -> set[str] | None:
    """The only values that a schema may accept, as text; None if they are not listed."""
    values = [schema["const"]] if "const" in schema else schema.get("enum")
    if not isinstance(values, list) or not all(isinstance(each, str) for each in values):
        return None  # other kinds may be equal without being spelled alike, as 1 and 1.0
    return set(values)


def _property(schema: Schema, key: str) -> Any:
    """The schema of a property; False if it is forbidden, True if nothing is said of it."""
    properties: Mapping[str, Any] = schema.get("properties", {})
    if key in properties:
        return properties[key]
    return bool(schema.get("patternProperties")) or schema.get("additionalProperties") is not False
