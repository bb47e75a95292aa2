"""What a grammar lets through is valid, whatever the model says, and what it refuses it names."""

import json
import random
import string

import jsonschema
import pytest
import torch

from groundup.core import ConfigError, DataError, Reason, Sampling
from groundup.generate import Engine, GrammarCompiler, compile_grammar, generate
from groundup.generate.explain import sampling_stages
from groundup.generate.grammar.compiling import vocabulary_bytes
from groundup.generate.sampling import NO_TOKEN, TokenSampler, choose_tokens
from groundup.tokenizer import FastTokenizer, train_bpe
from tests.generate.grammar.automaton import ReferenceMatcher, choices_expression, parse_regex
from tests.generate.grammar.schemas import random_schema
from tests.generate.tiny import tiny_directory, tiny_engine
from tests.tokenizer.imported.fixtures import small

TEXTS = [
    "naïve café – “Größe” 日本語 λ𝛼 ½ ",
    '{"name": "x", "id": [12, true, null]}\n',
    "yes no 1234-56 ",
]
TOKENIZER = FastTokenizer(train_bpe([text * 20 for text in TEXTS], 400))
SIZE, ENDS = TOKENIZER.vocab_size, sorted(TOKENIZER.specials.values())[:2]
BYTES = vocabulary_bytes(TOKENIZER).tokens


def matcher(tokenizer=TOKENIZER, ends=ENDS, **constraint):
    return compile_grammar(Sampling(**constraint), tokenizer, ends).matcher()


def draw(sampling, rng, limit=150, tokenizer=TOKENIZER, ends=ENDS) -> str | None:
    """An answer from random logits; marks that close JSON are likelier. None: cut by length."""
    grammar = compile_grammar(sampling, tokenizer, ends)
    seed, matcher = rng.randrange(2**32), grammar.matcher()
    sampler = TokenSampler(sampling, (), ends, seed=seed, limit=limit, matcher=matcher)
    favour = torch.tensor([6.0 * (set(token) <= set(b'"]},:')) for token in BYTES])
    generator, ids = torch.Generator().manual_seed(seed), []
    for _ in range(limit):
        logits = torch.randn(tokenizer.vocab_size, generator=generator)
        [token] = choose_tokens((logits + favour)[None], [sampler])
        assert not isinstance(token, Reason), sampling
        sampler.add(token)
        if token in ends:
            text = tokenizer.decode(ids)
            grammar.validate(ids, text)
            return text
        ids.append(token)
    return None


def test_random_logits_give_valid_json_for_sixty_schemas():
    rng, refused, ended = random.Random(0), 0, 0
    for _ in range(60):
        schema = random_schema(rng)
        try:
            text = draw(Sampling(json_schema=schema, temperature=1.0), rng)
        except ConfigError:
            refused += 1
            continue
        if text is not None:
            ended += 1
            jsonschema.validate(json.loads(text), schema, jsonschema.Draft202012Validator)
    assert refused <= 6 and ended >= 45, (refused, ended)


EXPRESSIONS = (
    "abc?|x", "[0-9]{3}-[0-9]{2,4}", "(a|b)*c+", "[^a-z]{1,3}", "é+|日本", r"\d+(\.\d+)?", ".{0,4}",
    r"\w+@\w+\.(com|org)", r"[\s\S]{2}", "(yes|no|maybe)( please)?", "[À-ÿ]{2,}", "(a{2}){1,2}b?",
    "((a*)*b)?", r"[^\n]*", r"[\-\]]x", "[𐀀-𐿿]", r"\W\D\S", "[]a]", "a|", "x{0,3}?y", "/[/]",
    "a{0}b", r"(?:q|w)?e[\t\n]", "[^\0-\U0010ffff]a|b",
)  # fmt: skip


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_masks_are_those_of_the_reference_at_every_step_of_random_walks(expression):
    rng = random.Random(expression)
    for _ in range(3):
        fast = matcher(regex=expression)
        assert walk(fast, ReferenceMatcher(parse_regex(expression), BYTES, ENDS), rng) > 0


CHARACTERS = "aab \0\n\x7f\x85\u2028é日𐀀/\"\\|#'"


@pytest.mark.parametrize("seed", range(12))
def test_choices_are_those_of_the_reference(seed):
    rng = random.Random(seed)
    texts = ["".join(rng.choices(CHARACTERS, k=rng.randint(0, 6))) for _ in range(6)]
    fast = matcher(choices=tuple(texts))
    assert walk(fast, ReferenceMatcher(choices_expression(texts), BYTES, ENDS), rng) > 0
    assert fast.is_complete and b"".join(BYTES[id] for id in fast.ids).decode() in texts


def walk(fast, slow, rng) -> int:
    """Follow random allowed tokens; return how many masks were compared."""
    for step in range(1, 31):
        expected = slow.mask(SIZE)
        assert torch.equal(fast.mask(SIZE), expected)
        assert fast.is_complete == bool(expected[ENDS[0]])
        wrong = (~expected).nonzero()[:, 0].tolist()
        assert not wrong or not fast.accept(rng.choice(wrong))
        token = rng.choice(expected.nonzero()[:, 0].tolist())
        if token in ENDS:
            return step
        assert fast.accept(token) and slow.accept(token)
    return step


@pytest.mark.parametrize("text", ["(", "a)", "[a", "*a", "a{3,2}", "\\", "^a", r"\bx", "(?=a)"])
def test_the_reference_refuses_what_it_does_not_know(text):
    with pytest.raises(ConfigError, match="cannot be read"):
        parse_regex(text)


def test_a_thousand_choices_are_choices():
    rng = random.Random(1)
    texts = tuple("".join(rng.choices(string.ascii_letters + " é", k=9)) for _ in range(1000))
    for seed in range(10):
        assert draw(Sampling(choices=texts, temperature=1.0), random.Random(seed)) in texts


def test_a_context_free_grammar_is_followed():
    sampling = Sampling(grammar='start: "(" start ")" | "x"', temperature=1.0)
    texts = [draw(sampling, random.Random(seed)) for seed in range(20)]
    depths = {text.count("(") for text in texts}
    assert all(text == "(" * n + "x" + ")" * n for text in texts for n in [text.count("(")])
    assert len(depths) > 1


def test_rolling_back_restores_the_mask():
    rng, following = random.Random(2), matcher(regex="[a-c]{2,9}é")
    masks = []
    for _ in range(6):
        masks.append(following.mask(SIZE))
        allowed = [id for id in masks[-1].nonzero()[:, 0].tolist() if id not in ENDS]
        assert following.accept(rng.choice(allowed))
    for count in (1, 2, 3):
        following.rollback(count)
        assert torch.equal(following.mask(SIZE), masks[len(following.ids)])
    assert not following.ids
    with pytest.raises(ValueError, match="at most 0"):
        following.rollback(1)


def test_an_end_comes_once_and_can_be_rolled_back():
    following = matcher(choices=("a",))
    assert not following.accept(ENDS[0]) and not following.is_finished
    assert following.accept(BYTES.index(b"a")) and following.is_finished
    assert following.accept(ENDS[1]) and following.is_ended and not following.accept(ENDS[0])
    following.rollback(2)
    assert following.accept(BYTES.index(b"a"))


def test_special_tokens_are_never_text():
    for name, id in TOKENIZER.specials.items():
        following = matcher(regex=f"{name.replace('|', '[|]')}.*|x")
        assert not following.mask(SIZE)[id] and not following.accept(id)
    both = Sampling(regex="a+", stop_tokens=(BYTES.index(b"a"),))
    ended = compile_grammar(both, TOKENIZER, ENDS).matcher()
    assert not ended.mask(SIZE)[BYTES.index(b"a")], "what ends an answer is no part of it"


def test_a_grammar_that_no_token_fits_ends_with_a_reason():
    digits = tuple(id for id, token in enumerate(BYTES) if not token or token in b"0123456789")
    for sampling in (
        Sampling(regex=r"[^\x00-\U0010ffff]"), Sampling(regex="a", allowed_tokens=digits),
        Sampling(json_schema={"$ref": "#"}),
    ):  # fmt: skip
        bound = compile_grammar(sampling, TOKENIZER, ENDS).matcher()
        assert choose_tokens(torch.zeros(1, SIZE), [TokenSampler(sampling, matcher=bound)]) == [
            NO_TOKEN
        ]
    with pytest.raises(ConfigError, match="the grammar exclude"):
        tiny_engine().continue_text("a", Sampling(regex=r"[^\x00-\U0010ffff]"))


def test_bytes_that_a_tokenizer_lacks_are_never_offered():
    class Lacking(FastTokenizer):
        digest = "lacking"

        def decode_bytes(self, ids):
            return super().decode_bytes(ids).replace(b"b", b"").replace(b"\xc3", b"")

    lacking = Lacking([])
    assert not matcher(lacking, [256], regex="b").mask(lacking.vocab_size).any()
    assert matcher(lacking, [256], regex="[ab]").mask(lacking.vocab_size).sum() == 1
    assert not matcher(lacking, [256], json_schema={"const": "é"}).accept(BYTES.index(b"\xc3"))


def test_the_space_that_decoding_drops_is_not_offered_first():
    tokenizer = small("llama")
    found = vocabulary_bytes(tokenizer)
    assert found.led_by_space and all(found.tokens[id][:1] == b" " for id in found.led_by_space)
    ends = [tokenizer.specials["</s>"]]
    following = matcher(tokenizer, ends, regex=" ?a a")
    first = following.mask(tokenizer.vocab_size)
    assert first.any() and not first[list(found.led_by_space)].any()
    assert following.accept(found.tokens.index(b"a"))
    assert following.mask(tokenizer.vocab_size)[found.tokens.index(b" ")]
    with pytest.raises(ConfigError, match="no bytes of their own"):
        matcher(small("words"), [2], regex="a")


@pytest.mark.parametrize(
    ("constraint", "message"),
    [
        ({"regex": "("}, "unclosed group"), ({"regex": "a(?=b)"}, "look-around"),
        ({"regex": "a\\"}, "backslash"), ({"regex": "\ud800"}, "surrogate"),
        ({"grammar": "start: ("}, r"1\(9\): Expected"), ({"grammar": "nothing: /a/"}, "start"),
        ({"choices": ("a", "\ud800")}, "surrogate"), ({"choices": ()}, "at least one"),
        ({"json_schema": "{"}, "not valid JSON"), ({"json_schema": "[1]"}, "no JSON object"),
        ({"json_schema": "[" * 99_999}, "not valid JSON"),
        ({"json_schema": {"type": "strin"}}, "Invalid type"),
        ({"json_schema": {"allOf": [{"type": "string"}] * 60_000}}, "large"),
        ({"json_schema": {"$ref": "#/$defs/a"}}, "does not exist"),
        ({"regex": "a", "choices": ("a",)}, "takes one of regex, choices"),
        ({"regex": "a", "stop": ("a",)}, "Sampling.stop"),
        ({"regex": "a", "min_tokens": 2}, "Sampling.min_tokens"),
    ],
)  # fmt: skip
def test_bad_constraints_are_refused_by_name(constraint, message):
    with pytest.raises(ConfigError, match=message) as caught:
        compile_grammar(Sampling(**constraint), TOKENIZER, ENDS)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 500


def test_without_an_end_or_a_matcher_a_constraint_is_refused_and_not_ignored():
    with pytest.raises(ConfigError, match="needs an end token"):
        compile_grammar(Sampling(regex="a"), TOKENIZER, ())
    with pytest.raises(ConfigError, match="regex is not supported here"):
        TokenSampler(Sampling(regex="a"))
    assert compile_grammar(Sampling(), TOKENIZER, ()) is None


def test_a_schema_given_as_table_or_text_is_one_setting_that_can_be_stored():
    table, text = Sampling(json_schema={"const": "é"}), Sampling(json_schema='{"const": "\\u00e9"}')
    assert table == text == Sampling(**table.to_dict()) and table.constraint == "json_schema"
    assert Sampling(json_schema=True).json_schema == "true" and Sampling().constraint == ""


def test_compiling_is_cached_by_digest_and_runs_beside_the_loop():
    sampling, again = Sampling(regex="a[0-9]+c"), FastTokenizer(TOKENIZER.merges)
    first = compile_grammar(sampling, TOKENIZER, ENDS)
    assert compile_grammar(sampling, again, ENDS) is first
    assert compile_grammar(sampling, TOKENIZER, ENDS[:1]) is not first
    compiler = GrammarCompiler(TOKENIZER, ENDS)
    assert compiler.start(sampling).result() is first
    with pytest.raises(ConfigError, match="unclosed"):
        compiler.start(Sampling(regex="((")).result()
    compiler.close()


@pytest.fixture(scope="module")
def engine() -> Engine:
    return tiny_engine()


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_an_engine_answers_within_the_grammar_alone_in_batches_and_streamed(engine, temperature):
    sampling = Sampling(choices=("yes", "no", "don't know"), temperature=temperature, max_tokens=20)
    prompts = [engine.encode_prompt(text) for text in ("a", "bcd", "a longer one")]
    answers = engine.continue_ids(prompts, sampling)
    for prompt, answer in zip(prompts, answers, strict=True):
        assert answer.finish_reason == "stop" and answer.text in sampling.choices
        assert engine.continue_ids([prompt], sampling)[0].ids == answer.ids
        assert "".join(t.text for t in engine.stream_tokens(prompt, sampling)) == answer.text


def test_an_answer_that_is_cut_is_not_claimed_valid(engine):
    answer = engine.continue_text("a", Sampling(json_schema={"type": "string"}, max_tokens=3))
    assert answer.finish_reason == "length" and len(answer.ids) == 3


def test_an_answer_that_does_not_fit_is_never_returned(engine):
    grammar = compile_grammar(Sampling(json_schema={"const": 12}), TOKENIZER, ENDS)
    ids = [BYTES.index(b"1"), BYTES.index(b"2")]
    grammar.validate([*ids, ENDS[0]], "12")
    for wrong, text in ((ids[:1], "1"), (ids, "13"), ([*ids, *ids], "1212")):
        with pytest.raises(DataError, match="does not fit Sampling.json_schema"):
            grammar.validate(wrong, text)


def test_an_explanation_names_the_grammar_and_what_it_kept():
    sampling = Sampling(regex="[ab]", temperature=1.0)
    bound = compile_grammar(sampling, TOKENIZER, ENDS).matcher()
    stages = list(sampling_stages(torch.zeros(SIZE), TokenSampler(sampling, matcher=bound)))
    assert [(stage.name, stage.kept) for stage in stages] == [
        ("model", SIZE), ("regex", 2), ("temperature 1", 2),
    ]  # fmt: skip


def test_the_command_takes_each_constraint(tmp_path):
    model, file = tiny_directory(tmp_path / "model"), tmp_path / "schema.json"
    file.write_text('{"enum": ["é", 7]}', encoding="utf-8")
    assert json.loads(generate(model, "a", json_schema=str(file))) in ("é", 7)
    assert generate(model, "a", json_schema='{"const": [1]}', temperature=0.5).startswith("[")
    assert generate(model, "a", choices=["yes", "no"]) in ("yes", "no")
    assert set(generate(model, "a", regex="x{3}")) == {"x"}
    file.write_text('start: "ok"', encoding="utf-8")
    assert generate(model, "a", grammar=file) == "ok"
    for wrong in ({"regex": ""}, {"choices": []}, {"json_schema": "no.json"}):
        with pytest.raises(ConfigError, match="is empty|Cannot read"):
            generate(model, "a", **wrong)
