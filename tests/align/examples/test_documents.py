"""Examples of a folder of documents: quoted, split from a test set by document, and refused."""

import json

import pytest

from groundup.align import ExamplesConfig, ExampleWriter, is_refusal, make_examples, read_examples
from groundup.align.examples.exchanges import PHRASINGS
from groundup.core import Artifact, ConfigError, DataError, Generation, Reason
from groundup.corpus import QuestionsConfig, make_questions
from groundup.generate import EndpointError
from groundup.measure import read_samples
from groundup.recipes.examples import examples_from_documents, proven_quotes
from tests.handbook import THINGS, VERBS, write_handbook

CONFIG = ExamplesConfig(questions=200, names=4, held_out=10, topic=10, explain=5, docstring=5)


def write_part(folder):
    """Some pages of the handbook, so that there are names that no page has."""
    write_handbook(folder)
    for number, thing in enumerate(THINGS):
        for part, does in enumerate(VERBS):
            if number > 7 or (number + part) % 3 == 0:
                for path in folder.glob(f"{thing}_{does}.*"):
                    path.unlink()


@pytest.fixture(scope="module")
def handbook(tmp_path_factory):
    """A folder of documents and a test set of it."""
    root = tmp_path_factory.mktemp("home")
    write_part(root / "handbook")
    config = QuestionsConfig(share=0.2)
    testset = make_questions(root / "handbook", config, root / "t", questions=30)
    return root, testset


@pytest.fixture(scope="module")
def made(handbook):
    root, testset = handbook
    return make_examples(CONFIG, root / "handbook", root / "e", exclude=[testset.path])


def rows_of(made):
    return [row for split in ("train", "validation", "test") for row in read_examples(made, split)]


def test_answers_are_quotes_of_their_document(handbook, made):
    rows = [row for row in rows_of(made) if row.kind in ("question", "dialogue")]
    texts = {path.relative_to(handbook[0] / "handbook").as_posix():
             " ".join(path.read_text().replace("`", "").split())
             for path in (handbook[0] / "handbook").rglob("*.*")}  # fmt: skip
    seen = set()
    for row in rows:
        if not row.source:
            continue
        text = texts[row.source.partition(", line ")[0]]
        for turn, answer in zip(row.messages[::2], row.messages[1::2], strict=True):
            if not is_refusal(answer.content):
                quote = answer.content.strip("“”").replace("`", "")
                assert quote in text, (row.source, quote)
                seen.add(turn.content in PHRASINGS["where_next"])
    assert seen == {True, False} and {len(row.messages) for row in rows} == {2, 4, 6}


def test_refused_names_are_in_no_document(handbook, made):
    everything = " ".join(p.read_text() for p in (handbook[0] / "handbook").rglob("*.*"))
    rows = rows_of(made)
    refused = [turn.content for row in rows for turn, answer in
               zip(row.messages[::2], row.messages[1::2], strict=True)
               if row.kind in ("refusal", "dialogue") and is_refusal(answer.content)]  # fmt: skip
    assert refused and all(row.refusal is is_refusal(row.messages[-1].content) for row in rows)
    for question in refused:
        name = question.split("`")[-2].rpartition(".")[2]
        assert name not in everything, question


def test_nothing_of_the_test_set_is_trained(handbook, made):
    root, testset = handbook
    samples = list(read_samples(testset))
    asked = {sample.metadata["document"] for sample in samples}
    questions = {sample.conversation[0].content for sample in samples}
    rows = rows_of(made)
    assert made.numbers["excluded"]["documents"] == len(asked)
    assert not asked & {row.source.partition(", line ")[0] for row in rows}
    assert not questions & {turn.content for row in rows for turn in row.messages}
    assert {parent.name for parent in made.parents} == {"testset_0"}
    with_them = make_examples(CONFIG, root / "handbook", root / "all")
    assert asked & {row.source.partition(", line ")[0] for row in rows_of(with_them)}


def test_the_key_follows_the_documents(handbook, made, tmp_path):
    root, testset = handbook
    again = make_examples(CONFIG, root / "handbook", made.path, exclude=[testset.path])
    assert again.id == made.id
    write_part(tmp_path / "handbook")
    (tmp_path / "handbook" / "more.md").write_text("# More\n\nA lamp is a thing that shines.\n")
    other = make_examples(CONFIG, tmp_path / "handbook", tmp_path / "e", exclude=[testset.path])
    assert other.key != made.key


class WritingModel:
    """Writes what it is told to, whatever it is asked, and counts the passages."""

    def __init__(self, *rows, stop_after=10**9):
        self.rows, self.asked, self.stop_after = rows, [], stop_after

    def generate(self, conversations, sampling):
        if len(self.asked) >= self.stop_after:
            raise KeyboardInterrupt
        assert json.loads(sampling.json_schema)["required"] == ["question", "quote", "answer"]
        said = list[Generation]()
        for conversation in conversations:
            passage = conversation[-1].content
            self.asked.append(passage)
            row = self.rows[len(self.asked) % len(self.rows)]
            text = row(passage) if callable(row) else row
            said.append(Generation(text, (), (), "stop"))
        return said

    logprobs = embed = generate


def default_of(passage, quote="The default of `{name}_limit` is {value} seconds", answer=None):
    name, value = (passage.partition(start)[2].partition(end)[0] for start, end in
                   (("default of `", "_limit"), ("_limit` is ", " seconds")))  # fmt: skip
    parts = {"name": name, "value": value}
    answer = (answer or "The default of {name}_limit is {value} seconds.").format(**parts)
    question = f"How many seconds may the {name} service take, if nothing is set?"
    return json.dumps({"question": question, "quote": quote.format(**parts), "answer": answer})


def wrong_number(passage):
    return default_of(passage, answer="The default of {name}_limit is 7 seconds.")


def wrong_quote(passage):
    return default_of(passage, quote="The limit of {name} is {value} minutes")


def write_with(model, handbook, out, **settings):
    root, testset = handbook
    settings = {"written": 24, "suffixes": (".md",), "held_out": 4} | settings
    config = CONFIG.model_copy(update=settings)
    writer = ExampleWriter(model, "double", proven_quotes(root / "handbook"))
    return make_examples(config, root / "handbook", out, exclude=[testset.path], writer=writer)


def test_what_a_model_writes_is_kept_if_its_quote_is_in_the_file_and_bears_it_out(
    handbook, tmp_path
):
    model = WritingModel(default_of, wrong_number, wrong_quote, "no JSON")
    made = write_with(model, handbook, tmp_path / "e")
    counts = made.numbers["written"]
    rejected = ("not accepted", "quote is not in the document",
                "no JSON of question, quote and answer")  # fmt: skip
    assert all(counts[reason] >= 6 for reason in rejected)
    written = [row for row in rows_of(made) if row.kind == "written"]
    assert len(written) == counts["accepted"] >= 6
    pages = {path.name: path.read_text() for path in (handbook[0] / "handbook").glob("*.md")}
    for row in written:
        said = row.messages[1].content.partition(" is ")[2]
        assert f"_limit` is {said}" in pages[row.source.partition(", line ")[0]]
    asked = {sample.metadata["document"] for sample in read_samples(handbook[1])}
    assert not any(f'title="{path}"' in passage for path in asked for passage in model.asked)


def test_a_killed_run_asks_for_the_rest_alone(handbook, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        write_with(WritingModel(default_of, stop_after=12), handbook, tmp_path / "e")
    with open(next((tmp_path / "e").rglob("questions about train.jsonl")), "a") as file:
        file.write('{"at": 12, "text": "cut of')
    rest = WritingModel(default_of)
    made = write_with(rest, handbook, tmp_path / "e")
    at_once = WritingModel(default_of)
    assert made.id == write_with(at_once, handbook, tmp_path / "at_once").id
    assert len(rest.asked) == len(at_once.asked) - 12


class FailingServer(WritingModel):
    """Gives no answer to every second prompt."""

    name = digest = signature = "server"
    loglikelihood = rolling = WritingModel.generate

    def render(self, conversation):
        return conversation[-1].content

    def complete(self, texts, sampling):
        for at, text in enumerate(texts):
            yield (
                at,
                Reason("timeout", "It took too long.")
                if at % 2
                else Generation(default_of(text), (), (), "stop"),
            )


def test_passages_on_which_a_server_fails_are_asked_again_or_left_out(handbook, tmp_path):
    out = tmp_path / "e"
    with pytest.raises(EndpointError, match="or set accept_failures=true"):
        write_with(FailingServer(), handbook, out)
    made = write_with(FailingServer(), handbook, out, accept_failures=True)
    counts = made.numbers["written"]
    assert counts["It took too long."] >= 6 and counts["accepted"] >= 6


def test_one_source_and_a_folder_to_verify_in(handbook, made, tmp_path):
    root, _ = handbook
    with pytest.raises(ConfigError, match="one of the two"):
        examples_from_documents(CONFIG, out=tmp_path / "e")
    with pytest.raises(ConfigError, match="--model needs a folder"):
        examples_from_documents(CONFIG, made.path, out=tmp_path / "e", model="double")
    with pytest.raises(DataError, match="missing"):
        examples_from_documents(CONFIG, tmp_path / "nowhere", out=tmp_path / "e")
    through = examples_from_documents(
        CONFIG, root / "handbook", out=root / "e", exclude=[root / "t"]
    )
    assert isinstance(through, Artifact) and through.id == made.id
