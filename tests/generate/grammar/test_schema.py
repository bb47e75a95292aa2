"""Of a schema every restriction is compiled or refused, and rewriting changes no valid value."""

import itertools
import json

import jsonschema
import pytest

from groundup.core import ConfigError, Sampling
from groundup.generate import compile_grammar
from groundup.generate.grammar.schema import prepare_schema
from groundup.tokenizer import FastTokenizer

TOKENIZER = FastTokenizer([])
DRAFT_4, DRAFT_7 = (f"http://json-schema.org/draft-0{n}/schema#" for n in (4, 7))


def accepts(schema, value) -> bool:
    """Whether the schema's grammar has a value's shortest JSON."""
    grammar = compile_grammar(Sampling(json_schema=schema), TOKENIZER, [256])
    following = grammar.matcher()
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return all(map(following.accept, TOKENIZER.encode(text))) and following.is_complete


@pytest.mark.parametrize(
    ("schema", "keyword", "path"),
    [
        ({"items": {"uniqueItems": True}}, "uniqueItems", "#/items"), ({"not": {}}, "not", "#"),
        ({"properties": {"a/b": {"contains": {}}}}, "contains", "#/properties/a~1b"),
        ({"allOf": [{}, {"if": {}, "then": False}]}, "if", "#/allOf/1"),
        ({"$ref": "#/$defs/a", "$defs": {"a": {"contains": {}}}}, "contains", "#/$defs/a"),
        ({"items": {"propertyNames": {}}}, "propertyNames", "#/items"),
        ({"prefixItems": [{"unevaluatedItems": False}]}, "unevaluatedItems", "#/prefixItems/0"),
        ({"dependentSchemas": {"a": {"not": {}}}}, "not", "#/dependentSchemas/a"),
        ({"$schema": DRAFT_4, "const": 1}, "const", "#"), ({"divisibleBy": 2}, "divisibleBy", "#"),
        ({"$schema": DRAFT_7, "prefixItems": [{"type": "null"}]}, "prefixItems", "#"),
        ({"$schema": DRAFT_4, "if": {"type": "null"}}, "if", "#"),
        ({"$ref": "#a", "$defs": {"x": {"$anchor": "a", "not": {}}}}, "not", "#/$defs/x"),
        ({"$dynamicRef": "#x"}, "$dynamicRef", "#"),
    ],
)  # fmt: skip
def test_a_restriction_that_cannot_be_compiled_is_refused_with_its_path(schema, keyword, path):
    with pytest.raises(ConfigError) as caught:
        prepare_schema(schema)
    assert f"has {keyword} at {path}," in str(caught.value)


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "string", "format": "color"}, {"oneOf": [{"minLength": 1}, {"maxLength": 3}]},
        {"oneOf": [  # a text is of both branches: only objects are told apart by a property
            {"required": ["a"], "properties": {"a": {"const": n}}} for n in (1, 2)
        ]},
        {"type": "string", "pattern": "a(?=b)"}, {"x-guidance": {"lenient": True}, "format": "x"},
        {"x-guidance": {"lenient": True}, "type": "array", "minContains": 1},
    ],
)  # fmt: skip
def test_what_the_compiler_refuses_is_an_error_of_ours(schema):
    with pytest.raises(ConfigError, match="json_schema cannot be compiled"):
        compile_grammar(Sampling(json_schema=schema), TOKENIZER, [256])


@pytest.mark.parametrize(
    "schema", [{"type": 3, "oneOf": [{}, {}]}, {"allOf": 3, "oneOf": [{}, {}]}]
)
def test_a_malformed_schema_is_refused(schema):
    with pytest.raises(ConfigError, match="malformed"):
        prepare_schema(schema)


def test_an_unused_definition_and_a_property_of_that_name_are_no_keywords():
    schema = {"$defs": {"a": {"not": {}}}, "properties": {"not": {"const": 1}, "if": {}}}
    assert prepare_schema(schema) == schema
    assert accepts(schema, {"not": 1}) and not accepts(schema, {"not": 2})


OBJECTS = [
    {key: value for key, value in zip("abc", values, strict=True) if value is not None}
    for values in itertools.product([None, 1, "x"], repeat=3)
]
VALUES = [*OBJECTS, None, True, 1, 2.5, "x", "y", "", [], [1], ["x"]]


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "dependentRequired": {"a": ["b", "c"]}},
        {"dependencies": {"a": {"properties": {"b": {"type": "string"}}}, "b": ["c"]}},
        {"type": "object", "dependentSchemas": {"c": {"required": ["a"]}}},
        {"oneOf": [{"required": ["a"]}, {"required": ["b", "c"]}, {"required": ["c"]}]},
        {"type": "object", "oneOf": [{"required": ["a"], "title": "A"}, {"required": ["b"]}]},
        {"oneOf": [{"$ref": "#/$defs/o"}, {"type": ["null", "string"]}],
         "$defs": {"o": {"type": "object", "required": ["a"]}}},
        {"type": "object", "properties": {"c": {}}, "required": ["a"],
         "oneOf": [{"properties": {"a": {"const": 1}}}, {"properties": {"a": {"enum": ["x"]}}}]},
        {"oneOf": [{"enum": [1, "x", None]}, {"const": "y"}, {"type": "boolean"}]},
        {"oneOf": [{"type": "object", "required": ["a"]}, {"type": "array", "uniqueItems": False}]},
        {"type": "object", "oneOf": [
            {"required": ["a"]}, {"additionalProperties": False, "properties": {"b": {}}}]},
        {"allOf": [{"type": "object"}], "oneOf": [False, {"required": ["b"]}]},
    ],
    ids=str,
)  # fmt: skip
def test_rewriting_keeps_the_values_that_are_valid(schema):
    validator = jsonschema.Draft202012Validator(schema)
    if "dependencies" in schema:
        validator = jsonschema.Draft7Validator(schema)
    for value in VALUES:
        orders = itertools.permutations(value.items()) if isinstance(value, dict) else ()
        found = [accepts(schema, dict(order)) for order in orders] or [accepts(schema, value)]
        assert any(found) == validator.is_valid(value), value  # the grammar fixes an order


@pytest.mark.parametrize(
    "branches",
    [
        [{"type": "integer"}, {"type": "number"}], [{"const": 1}, {"const": 1.0}],
        [{"type": "object", "required": ["a"]}, {"type": "object", "properties": {"b": {}}}],
        [{"type": "string"}, {}], [{"properties": {"a": {"const": 1}}}, {"required": ["b"]}],
        [{"properties": {"a": {"const": 1}}}, {"properties": {"a": {"const": 2}}}],
        [{"enum": [[1]]}, {"enum": [[1.0]]}],
        [{"$ref": "#/$defs/a", "type": "null"}, {"type": "string"}],
    ],
)  # fmt: skip
def test_branches_that_may_both_be_valid_stay_one_of(branches):
    schema = {"oneOf": branches, "$defs": {"a": {"minLength": 1}}}
    assert prepare_schema(schema) == schema
