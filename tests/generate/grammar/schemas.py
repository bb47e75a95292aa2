"""Random JSON schemas of many kinds, for the tests of constrained decoding."""

import random
from typing import Any

WORDS = ("name", "id", "größe", "is open", 'say "hi"', "tags", "価格", "a/b", "x~y", "$ref")
PATTERNS = ("^[A-Z]{2,4}-[0-9]{3}$", "^(left|right)$", "[0-9]", "^[a-zà-ý]{1,5}$", "^a|b$")
FORMATS = ("date", "time", "date-time", "email", "ipv4", "ipv6", "uuid", "hostname", "duration")


def random_schema(rng: random.Random) -> dict[str, Any]:
    """A schema, at times one that refers to itself."""
    part = _part(rng, 3)
    if rng.random() < 0.8:
        return part
    tree = {"type": "object", "properties": {"value": part, "next": {"$ref": "#/$defs/tree"}}}
    closed = tree | {"required": ["value"], "additionalProperties": False}
    return {"allOf": [{"$ref": "#/$defs/tree"}], "$defs": {"tree": closed}}


def _part(rng: random.Random, depth: int) -> dict[str, Any]:
    """A schema inside another; at depth 0 one without parts."""
    leaves, inner = (
        (_string, _number, _constant, _plain),
        (_object, _object, _array, _union, _choice),
    )
    return rng.choice(leaves if depth == 0 else (*leaves, *inner, *inner))(rng, depth - 1)


def _plain(rng: random.Random, depth: int) -> dict[str, Any]:
    return {"type": rng.choice(["boolean", "null", ["null", "integer"], "string"])}


def _constant(rng: random.Random, depth: int) -> dict[str, Any]:
    values = [None, True, 3, -2.5, "é", "", "a b", [1, "x"], {"k": []}]
    if rng.random() < 0.3:
        return {"const": rng.choice(values)}
    return {"enum": rng.sample(values, rng.randint(1, 5)), "description": "one of a few"}


def _string(rng: random.Random, depth: int) -> dict[str, Any]:
    least = rng.randint(0, 3)
    return {"type": "string"} | rng.choice([
        {"minLength": least, "maxLength": least + rng.randint(0, 8)},
        {"pattern": rng.choice(PATTERNS)}, {"format": rng.choice(FORMATS)}, {"maxLength": 4},
    ])  # fmt: skip


def _number(rng: random.Random, depth: int) -> dict[str, Any]:
    least = rng.randint(-50, 50)
    return {"type": rng.choice(["integer", "number"])} | rng.choice([
        {"minimum": least, "maximum": least + rng.randint(0, 300)}, {"exclusiveMinimum": least},
        {"multipleOf": rng.choice([2, 5])}, {"exclusiveMaximum": 1000, "minimum": 0}, {},
    ])  # fmt: skip


def _object(rng: random.Random, depth: int) -> dict[str, Any]:
    names = rng.sample(WORDS, rng.randint(0, 4))
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {name: _part(rng, depth) for name in names},
        "required": rng.sample(names, rng.randint(0, len(names))),
    }
    if rng.random() < 0.7:
        schema["additionalProperties"] = rng.choice([False, False, {"type": "integer"}])
    if len(names) > 1 and rng.random() < 0.3:
        schema["dependentRequired"] = {names[0]: [names[1]]}
    return schema


def _array(rng: random.Random, depth: int) -> dict[str, Any]:
    least = rng.randint(0, 2)
    schema = {"type": "array", "minItems": least, "maxItems": least + rng.randint(0, 3)}
    if rng.random() < 0.3:
        schema |= {"prefixItems": [_part(rng, depth)], "uniqueItems": False}
    return schema | {"items": _part(rng, depth)}


def _union(rng: random.Random, depth: int) -> dict[str, Any]:
    return {"anyOf": [_part(rng, depth) for _ in range(rng.randint(1, 3))]}


def _choice(rng: random.Random, depth: int) -> dict[str, Any]:
    """One of several objects that a property tells apart, or a type and null."""
    if rng.random() < 0.3:
        return {"oneOf": [{"type": "null"}, _object(rng, depth)]}
    branches = [_object(rng, depth) for _ in range(3)]
    for number, branch in enumerate(branches):
        branch["properties"] = {"kind": {"enum": [f"k{number}"]}} | branch["properties"]
        branch["required"] = ["kind", *branch["required"]]
    return {"oneOf": branches}
