"""The verbs of the command line, in groups that stand in the order of the work.

A table and the pages made of it alone: nothing is imported, so that `groundup --help` is quick. See
cli.py for what happens to a command, and flags.py for how a function's parameters become flags.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from groundup import __version__


class Verb(NamedTuple):
    """One command: its words, where its function is, one line of help and an example."""

    name: str
    target: str
    """`module:function`."""
    help: str
    example: str
    """What follows `groundup NAME`; a test parses it."""
    page: str = ""
    """Its page in docs/reference; empty: the group's."""
    computes: bool = False
    """Whether it runs a model, so that the allocator is worth a restart."""


class Group(NamedTuple):
    """Verbs of one kind of work."""

    title: str
    page: str
    """The page in docs/reference that describes them."""
    verbs: tuple[Verb, ...]


GROUPS = (
    Group("Start", "recipes", (
        Verb("run", "groundup.recipes:run", "a whole recipe, such as `groundup run tiny`",
             "tiny --out runs/tiny", computes=True),
        Verb("doctor", "groundup.recipes.doctor:doctor", "what this machine has, does and lacks",
             "--again", "core"),
    )),
    Group("Documents", "corpus", (
        Verb("corpus", "groundup.corpus:corpus", "documents of a folder, split, without duplicates",
             "~/handbook --out corpus"),
        Verb("prepare", "groundup.corpus:prepare",
             "a corpus by a pipeline, every removal explained", "pipeline.toml --out corpus"),
        Verb("corpus report", "groundup.corpus:report", "a page: what was read, what went and why",
             "corpus --out report.html", "corpus/explain"),
        Verb("corpus why", "groundup.corpus:why", "what became of one document, step by step",
             "corpus manual/index.html", "corpus/explain"),
        Verb("corpus diff", "groundup.corpus:compare_runs",
             "two runs: settings, counts, documents", "corpus-1 corpus-2", "corpus/explain"),
        Verb("corpus withdraw", "groundup.corpus:withdraw",
             "remove a document, source or licence from all that used it",
             "corpus --out corpus-2 --set 'licences=[\"GPL*\"]'", "corpus/explain"),
        Verb("corpus classifier", "groundup.corpus:train_classifier_folders",
             "a classifier of good and bad texts, for quality steps",
             "--positive good --negative bad --out quality", "corpus/quality"),
    )),
    Group("Tokens", "tokenizer", (
        Verb("tokenizer", "groundup.tokenizer:train_tokenizer",
             "a byte-level vocabulary of a corpus", "--corpus corpus --out tokenizer"),
        Verb("tokens", "groundup.tokenizer:encode_corpus", "a corpus as shards of token ids",
             "--corpus corpus --tokenizer tokenizer --out tokens"),
        Verb("tokens mix", "groundup.tokenizer:mix_named", "several tokens as one, by shares",
             "t --out m --source a=t1 --source b=t2 --set tokens=1e6",
             "corpus/mixture"),
    )),
    Group("Models", "model", (
        Verb("import", "groundup.model:import_model",
             "a published model, checked, with its licence", "~/Qwen3-0.6B --out peer",
             "model/import"),
        Verb("model describe", "groundup.model:describe", "parameters, FLOPs and cache of a model",
             "mixtral-8x7b"),
        Verb("model routing", "groundup.model:routing", "which expert computes which token",
             "moe --text page.txt --out routing.html", computes=True),
    )),
    Group("Word vectors", "embeddings", (
        Verb("vectors train", "groundup.embeddings:train_vectors", "vectors of a text's words",
             "--corpus corpus --out vectors"),
        Verb("vectors neighbours", "groundup.embeddings.verbs:neighbours",
             "words nearest to a word", "vectors queen"),
        Verb("vectors analogy", "groundup.embeddings.verbs:analogy",
             "man king woman: the fourth word", "vectors man king woman"),
        Verb("vectors similarity", "groundup.embeddings.verbs:rate_similarity",
             "vectors compared with people's ratings", "vectors simlex999.txt"),
        Verb("vectors plot", "groundup.embeddings.verbs:plot",
             "words in two dimensions, as a page", "vectors words.html --near queen"),
        Verb("vectors context", "groundup.embeddings.verbs:context",
             "one word in different sentences, as a model sees it",
             'encoder bank "The bank lends." "A river bank."'),
        Verb("vectors export", "groundup.embeddings.verbs:export", "a file that gensim opens",
             "vectors words.txt"),
    )),
    Group("Training", "train", (
        Verb("plan", "groundup.train:plan", "memory that training needs, and what fits",
             "qwen3-0.6b --memory 24GiB"),
        Verb("pretrain", "groundup.recipes.pretraining:pretrain_with_samples",
             "a base model from tokens",
             "--tokens tokens --tokenizer tokenizer --out base", computes=True),
        Verb("checkpoints", "groundup.train:list_checkpoints",
             "a run's checkpoints; --check hashes", "base --check"),
        Verb("checkpoints export", "groundup.train:export_checkpoint",
             "a model of a checkpoint, while the run continues", "base --out so-far"),
    )),
    Group("Scaling laws", "train/scaling", (
        Verb("scaling sweep", "groundup.train.scaling.sweep:sweep",
             "a ladder of models, sizes by budgets",
             "--tokens tokens --tokenizer tokenizer --out sweep", computes=True),
        Verb("scaling fit", "groundup.train.scaling.fit:fit_sweep",
             "laws of a ladder, with intervals", "sweep --out fit"),
        Verb("scaling forecast", "groundup.train.scaling.forecast:forecast",
             "a larger run's loss, predicted before it begins",
             "fit --out forecast --set budget=1e18"),
        Verb("scaling check", "groundup.train.scaling.forecast:check_forecast",
             "the run checked against its forecast", "base --forecast forecast --out verdict"),
        Verb("scaling table", "groundup.train.scaling.forecast:budget_table",
             "the best size for a budget", "1e18 1e19 --fit fit"),
    )),
    Group("Text from a model", "generate", (
        Verb("generate", "groundup.generate:generate", "continue a prompt",
             'base --prompt "The function returns"', computes=True),
        Verb("chat", "groundup.generate:chat", "talk to a model", "tuned --temperature 0.7",
             computes=True),
    )),
    Group("Tuning", "align", (
        Verb("examples make", "groundup.recipes.examples:examples_from_documents",
             "conversations from own documents", "~/handbook --exclude t --out examples",
             computes=True),
        Verb("examples import", "groundup.align:import_examples",
             "conversations of others, cleaned", "chats.jsonl --out examples"),
        Verb("examples show", "groundup.align:show_examples",
             "conversations, trained tokens marked", "examples --tokenizer tokenizer"),
        Verb("finetune", "groundup.align:finetune", "a chat model from a base and examples",
             "--model base --examples examples --out tuned", computes=True),
        Verb("preferences import", "groundup.align:import_preferences",
             "preferences from JSON lines", "pairs.jsonl --out preferences"),
        Verb("balance", "groundup.align:balance",
             "what examples or preferences are made of", "examples"),
        Verb("preferences sample", "groundup.align:sample_answers",
             "several answers to each prompt, to compare",
             "prompts.jsonl --model tuned --out comparisons", computes=True),
        Verb("preferences revise", "groundup.align:revise_answers",
             "answers that a model criticises and revises",
             "prompts.jsonl --model tuned --out comparisons", computes=True),
        Verb("preferences review", "groundup.align:review_comparisons",
             "say which answers are better, blind", "comparisons --page"),
        Verb("preferences judge", "groundup.align:judge_comparisons",
             "a model says which, asked in both orders",
             "comparisons --model http://localhost:8000/v1#qwen", computes=True),
        Verb("preferences score", "groundup.align:score_comparisons",
             "rewards say which", "comparisons --set number=1"),
        Verb("preferences apply", "groundup.align:apply_votes",
             "preferences of the votes", "comparisons --out preferences"),
        Verb("direct", "groundup.align:direct", "a model trained on preferences: DPO, KTO and kin",
             "--model tuned --preferences preferences --out preferred", computes=True),
        Verb("reward", "groundup.align:reward", "a reward model: how good an answer or a step is",
             "--model tuned --preferences preferences --out judge", computes=True),
        Verb("reinforce", "groundup.align:reinforce", "a model trained on rewards: GRPO and kin",
             "--model tuned --tasks sums.jsonl --out better", computes=True),
        Verb("abstain make", "groundup.align:make_refusals",
             "examples of what a model does not know",
             "tuned asked.jsonl --out refusals", computes=True),
        Verb("abstain calibrate", "groundup.align:calibrate_abstention",
             "risk over coverage, a threshold by risk",
             "abstains held-out.jsonl --out risk", computes=True),
    )),
    Group("Adapters", "adapt", (
        Verb("merge", "groundup.adapt:merge", "a model with an adapter added to its weights",
             "base tuned --out merged"),
    )),
    Group("Smaller copies", "compress", (
        Verb("quantize", "groundup.compress:quantize", "an 8- or 4-bit copy of a model",
             "--model tuned --out small"),
        Verb("export", "groundup.model:export_gguf", "a model as one GGUF file for llama.cpp",
             "tuned tuned.gguf --type Q4_0", "model/gguf"),
    )),
    Group("Answers from documents", "retrieve", (
        Verb("index", "groundup.retrieve:index_or_explain",
             "an index of a folder; again: what changed", "~/handbook --out i"),
        Verb("ask", "groundup.retrieve:ask_questions", "an answer with exact quotes, or a refusal",
             '"How do I restart the service?" --index i'),
        Verb("calibrate", "groundup.retrieve.calibration.calibrate:calibrate",
             "how often answers are wrong here, for `ask --risk 5%`",
             "i --questions mine.jsonl"),
        Verb("encoder", "groundup.retrieve.encoders.train:train_encoder",
             "an encoder for search, trained on a folder's own pairs",
             "~/handbook --base minilm --out encoder", computes=True),
        Verb("reader", "groundup.retrieve.readers.train:train_reader",
             "a reader that refuses what does not answer",
             "~/handbook --base minilm --questions squad.json --out reader", computes=True),
        Verb("reranker", "groundup.retrieve.readers.train_reranker:train_reranker",
             "a reranker that orders the passages of an index",
             "~/docs --base minilm --questions squad.json --out reranker", computes=True),
        Verb("verify", "groundup.retrieve:verify",
             "quotes of an answer, or sentences of a text, checked", "answer.json --index i"),
    )),
    Group("Evaluation", "evaluate", (
        Verb("testset make", "groundup.corpus:make_questions",
             "questions about documents, answers quoted", "~/handbook --questions 200 --out t"),
        Verb("testset show", "groundup.corpus:show_testset",
             "a test set's card, its flaws, what was trained on", "t --against base", "measure"),
        Verb("testset review", "groundup.measure.review.verb:review_testset",
             "look at samples, blind: accept, modify or drop", "t --sample 50", "measure"),
        Verb("testset apply", "groundup.measure:apply_review",
             "a test set as its reviewers modified it", "t --out t2", "measure"),
        Verb("tasks", "groundup.evaluate.task.catalogue:list_tasks", "what `evaluate` can ask",
             "--include my-tasks"),
        Verb("tasks overlap", "groundup.evaluate.task.catalogue:overlap", "questions trained on",
             "arithmetic.2 --against base"),
        Verb("evaluate", "groundup.evaluate:evaluate", "a model on tasks, a test set or texts",
             "tuned --test t --chat-template --against base --out report", computes=True),
        Verb("grounding", "groundup.evaluate:grounding",
             "answers against their passages: supported, cited, relevant",
             "answers.jsonl --noise 2 --noise 8 --out report", "evaluate/grounding"),
        Verb("compare", "groundup.evaluate.compare.verb:compare",
             "runs against the first, and a page", "report-1 report-2 --out compared"),
    )),
    Group("Gates and releases", "measure", (
        Verb("gate", "groundup.evaluate:gate",
             "a verdict on an evaluation; exit 3 or 4 unless it passed", "report --margin 0.02"),
        Verb("release", "groundup.measure:release",
             "a label moved on a verdict, or back; the labels",
             "tuned --index i --as candidate --verdict v --reason better"),
    )),
    Group("Serving", "serve", (
        Verb("serve", "groundup.serve.serve:serve", "a model and documents, to OpenAI's clients",
             "tuned --index i"),
        Verb("replay", "groundup.serve.replay:replay", "an answer given again from its receipt",
             "chatcmpl-0e75c658b3d0", computes=True),
        Verb("keys add", "groundup.serve.keys:add_key", "a key for a client of the server",
             "keys.json ann --scope chat --requests-per-minute 60"),
        Verb("keys list", "groundup.serve.keys:list_keys", "who has a key, and for what",
             "keys.json"),
        Verb("keys rotate", "groundup.serve.keys:rotate_key",
             "a new key; the former one ends later", "keys.json ann --hours 1"),
        Verb("keys revoke", "groundup.serve.keys:revoke_key", "a key ended now",
             "keys.json ann"),
    )),
    Group("Artifacts", "recipes", (
        Verb("show", "groundup.recipes.show:show", "what an artifact is, holds and came from",
             "runs/tiny/chat --rehash"),
        Verb("diff", "groundup.recipes.artifacts:diff", "how two artifacts differ", "base tuned"),
        Verb("du", "groundup.recipes.artifacts:du",
             "disk space of artifacts, by kind", "runs"),
        Verb("gc", "groundup.recipes.artifacts:gc",
             "what no release, report or verdict needs", "runs"),
    )),
    Group("Shell", "../guide/command-line", (
        Verb("completion", "groundup.flags:completion",
             "the script that completes verbs and flags in a shell",
             "bash"),
    )),
)  # fmt: skip

VERBS: tuple[Verb, ...] = tuple(verb for group in GROUPS for verb in group.verbs)
PAGES = {verb.name: verb.page or group.page for group in GROUPS for verb in group.verbs}
"""Verb's name to its page in docs."""

USAGE = """groundup {version}: language models from the ground up, kept grounded

  groundup VERB [--help] [--json] [--trace]

{verbs}

`groundup VERB --help` has the flags and an example. --json prints results as JSON and progress as
events; --trace shows where an error came from.
Exit codes: 0 done, 1 failed, 2 wrong use, 3 gate failed, 4 undecided, or not answered.
Docs: docs/guide/command-line.md in the project, and one page for each group."""


def usage() -> str:
    """The table of contents, in the order of the work."""
    width = max(len(verb.name) for verb in VERBS)
    blocks = (f"{group.title}\n{verbs_table(group.verbs, width)}" for group in GROUPS)
    return USAGE.format(version=__version__, verbs="\n\n".join(blocks))


def verbs_table(verbs: Sequence[Verb], width: int = 0) -> str:
    """A line for every verb."""
    width = width or max(len(verb.name) for verb in verbs)
    return "\n".join(f"  {verb.name:<{width}}  {verb.help}" for verb in verbs)


def verbs_below(name: str) -> list[Verb]:
    """The verbs that begin with a word, itself left out."""
    return [verb for verb in VERBS if verb.name.startswith(f"{name} ")]


def contents(words: Sequence[str]) -> str | None:
    """What needs no room: all verbs, those of a word that is none by itself, or the version."""
    if words and words[0] in ("--version", "-V"):
        return __version__
    if not words or words[0] in ("--help", "-h", "help"):
        return usage()
    is_alone = words[1:] in ([], ["--help"], ["-h"]) and words[0] not in PAGES
    inside = verbs_below(words[0]) if is_alone else []
    if not inside:
        return None
    first = inside[0]
    return "\n\n".join((verbs_table(inside), *example_and_docs(first.name, first.example)))


def example_and_docs(name: str, example: str) -> Iterator[str]:
    """What stands near the end of a help page."""
    if example:
        yield f"Example:\n  groundup {name} {example}"
    yield f"Docs: {_docs_address(PAGES.get(name, 'recipes'))}"  # recipes have no row of their own


def _docs_address(page: str) -> str:
    """Where a page of the docs is: its path in a checkout, else its name in the project."""
    page = os.path.normpath(f"docs/reference/{page}.md")
    path = Path(__file__).resolve().parents[1] / page
    if not path.is_file():
        return f"{page} in the project's repository"
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
