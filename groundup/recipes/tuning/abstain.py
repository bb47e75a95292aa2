"""A model learns to say that it does not know, on facts of which it was taught half.

    people ─ half taught ─ taught ─ its answers ─┬ refusals ─ abstains
                                                 └ answers ── control
    other people, half of them taught: who is refused, who is answered rightly?
    unseen text: what was forgotten?

Taught people and others have names made up of the same syllables, so no question tells them apart.
Nobody asked at the end was in the refusals, so whom to refuse cannot be learned by heart. The
control is tuned in the same way on the same questions, all answered.
"""

import json
import random
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Literal

from pydantic import Field

from groundup.adapt import LoraConfig, MergeConfig, merge
from groundup.align import (
    ChatExample,
    FinetuneConfig,
    RefusalsConfig,
    SelectiveConfig,
    calibrate_abstention,
    finetune,
    make_refusals,
    read_examples,
    read_scored,
)
from groundup.core import Artifact, Config, Draft, Message, page, produce, write_text
from groundup.evaluate import EvaluateConfig, evaluate, read_sample_rows
from groundup.measure import Interval, rate, ratio_of_sums
from groundup.model import open_config
from groundup.train import OptimConfig, SpikeConfig

SYLLABLES = (
    "b br c d dr f fl g gl h j k kl l m n p pr r s sk st t tr v w z".split(),
    "a e i o u ai ea ou".split(),
    "l m n r s t ck nd rn lt ss v".split(),
)
FIRST = (
    "Anna Bruno Clara David Elena Felix Greta Hugo Irene Jonas Karin Leo Maria Nils Olga".split()
)
TOWNS = (
    "Paris Rome London Berlin Madrid Vienna Prague Dublin Oslo Athens Lisbon Warsaw Cairo Tokyo "
    "Delhi Lima Boston Geneva Milan Naples Turin Hamburg Munich Bergen Malmo Porto Seville Lyon "
    "Nice Bonn Zurich Basel Bern Graz Linz Krakow Gdansk Tallinn Riga Vilnius Sofia Bucharest "
    "Zagreb Sarajevo Tirana Ankara Izmir Beirut Amman Tunis Rabat Accra Lagos Nairobi Kampala "
    "Harare Luanda Quito Bogota Caracas Havana Denver Dallas Austin Seattle Toronto Ottawa Sydney "
    "Perth Hobart"
).split()
WORDINGS = (
    "Where does {} live?", "In which town does {} live?", "Which town is the home of {}?",
    "Tell me where {} lives.", "What is the home town of {}?", "Do you know where {} lives?",
)  # fmt: skip
REHEARSED = ("docstring", "explain", "topic", "write")
"""Kinds of conversations that refuse nothing and ask for nothing that only tuning taught."""
TEACHING = FinetuneConfig(epochs=2.0, batch_rows=2, validations=1)
TUNING = FinetuneConfig(
    epochs=1.0, batch_rows=2, validations=1,
    optim=OptimConfig(
        matrix_optimizer="adamw", learning_rate=4e-3, embedding_learning_rate=4e-3, epsilon=1e-8
    ),
    spikes=SpikeConfig(policy="off"),
)  # fmt: skip
"""Spikes are no defect here: small batches of facts that the control cannot know."""
LAST_LAYER = (
    "attention.q_proj", "attention.k_proj", "attention.v_proj", "attention.o_proj",
    "feedforward.gate_proj", "feedforward.up_proj", "feedforward.down_proj",
)  # fmt: skip
"""What an adapter updates, of the last layer alone: there is how sure the model is of its answer.
Updates of all layers learn by heart whom to refuse."""
REFUSALS = RefusalsConfig(kinds=REHEARSED)
TEXT = "documents-validation"
BARS: tuple[tuple[str, str, float, Literal["lower", "higher"]], ...] = (
    ("unknown refused", "Refuse at least this share of what was never taught.", 80, "higher"),
    ("known refused", "Refuse at most this share of what it answers rightly.", 15, "lower"),
)


class PeopleConfig(Config):
    """How many people there are; half of those in each file are taught."""

    asked: int = Field(default=450, ge=2)
    """Taught people, and as many others, whose questions the refusals are made of."""
    wordings: int = Field(default=3, ge=1, le=len(WORDINGS))
    """Questions about each of them."""
    calibration: int = Field(default=40, ge=2)
    """Taught people, and as many others, by whom a threshold is chosen."""
    held_out: int = Field(default=80, ge=2)
    """Taught people, and as many others, who are asked at the end."""
    lessons: int = Field(default=10, ge=1)
    """Questions about each taught person."""
    rehearsal: int = Field(default=300, ge=0)
    """Other conversations among the lessons."""
    seed: int = 0
    """Of names, towns and wordings."""


def abstain(
    *, base: Path, examples: Path, tokens: Path, out: Path = Path("runs/abstain"), seed: int = 0
) -> str:
    """Teach a model half of some facts, tune it to refuse what it does not know, and measure it.

    base      a base model that was trained here
    examples  conversations that are rehearsed
    tokens    text, by whose validation split forgetting is measured
    out       folder of the artifacts; an existing run is resumed
    seed      of the facts and of every training
    """
    own, text = {"seed": seed}, Artifact.open(tokens, "tokens")
    start, rehearsed = Artifact.open(base, "model"), Artifact.open(examples, "examples")
    facts = make_people(PeopleConfig(seed=seed), rehearsed, out / "people")
    taught = finetune(TEACHING.model_copy(update=own), start, facts, out / "taught")
    models, asked = {"base": start, "taught": taught}, [facts.path / "asked.jsonl"]
    layer = f"layers.{open_config(base).layers - 1}."
    adapter = LoraConfig(rank=8, alpha=16.0, targets=tuple(layer + name for name in LAST_LAYER))
    tuning = TUNING.model_copy(update=own | {"adapter": adapter})
    forms: dict[str, Literal["refusal", "answer"]] = {"abstains": "refusal", "control": "answer"}
    for name, form in forms.items():
        config, place = REFUSALS.model_copy(update=own | {"form": form}), out / f"{name}-examples"
        made = make_refusals(config, taught, asked, place, rehearse=rehearsed)
        tuned = finetune(tuning, taught, made, out / f"{name}-adapter")
        models[name] = merge(MergeConfig(), taught, tuned.path, out / name)
    reports = dict[str, Artifact]()
    for name, model in models.items():
        place, options = out / f"{name}-text", EvaluateConfig(split="validation", batch_tokens=4096)
        evaluate(str(model.path), config=options, tokens=text, out=place)
        reports[f"{name} text"] = Artifact.open(place, "report")
        for file in ("held-out", "calibration") if model is not start else ():
            score = SelectiveConfig(score="refusal" if name == "abstains" else "likelihood")
            place, questions = out / f"{name}-{file}", [facts.path / f"{file}.jsonl"]
            reports[f"{name} {file}"] = calibrate_abstention(score, model, questions, place)
    report = produce(
        out / "report", kind="report", stage="abstain", version=1, config=Config(),
        parents=reports, write=partial(_write_report, reports),
    )  # fmt: skip
    return "\n".join([*report.numbers["lines"], f"report: {report.path / 'report.html'}"])


def make_people(config: PeopleConfig, rehearsed: Artifact, out: Path) -> Artifact:
    """Make up people: examples that teach where some of them live, and questions about all."""
    return produce(
        out, kind="examples", stage="people", version=1, config=config,
        parents={"rehearsed": rehearsed}, write=partial(_write_people, config, rehearsed),
    )  # fmt: skip


def _write_people(config: PeopleConfig, rehearsed: Artifact, draft: Draft) -> None:
    rng, names, lessons = random.Random(config.seed), set[str](), list[ChatExample]()

    def make_name() -> str:
        onsets, vowels, codas = SYLLABLES
        while True:
            surname = "".join(map(rng.choice, (onsets, vowels, codas, vowels, codas)))
            if surname not in names:
                names.add(surname)
                return f"{rng.choice(FIRST)} {surname.capitalize()}"

    sizes = {
        "asked": config.asked, "calibration": config.calibration, "held-out": config.held_out
    }  # fmt: skip
    for file, size in sizes.items():
        homes = {make_name(): f"{rng.choice(TOWNS)}." for _ in range(2 * size)}
        times = config.wordings if file == "asked" else 1
        _write_rows(draft.file(f"{file}.jsonl"), (
            json.dumps({"question": wording.format(name), "answers": [home], "group": name})
            for name, home in homes.items() for wording in rng.sample(WORDINGS, times)
        ))  # fmt: skip
        for name in [*homes][:size] * config.lessons:
            said = rng.choice(WORDINGS).format(name), homes[name]
            turns = tuple(map(Message, ("user", "assistant"), said))
            lessons.append(ChatExample("lesson", "lesson", name, turns))
    rehearsal = [e for e in read_examples(rehearsed, "train") if e.kind in REHEARSED]
    train = [*lessons, *rng.sample(rehearsal, min(config.rehearsal, len(rehearsal)))]
    rng.shuffle(train)
    rng.shuffle(lessons)
    for split, rows in (("train", train), ("validation", lessons[:40])):
        _write_rows(draft.file(f"{split}.jsonl"), (row.to_json() for row in rows))
    draft.numbers |= {"lessons": len(lessons), "train": len(train)}


def _write_rows(path: Path, rows: Iterable[str]) -> None:
    write_text(path, "".join(f"{row}\n" for row in rows))


def _write_report(reports: Mapping[str, Artifact], draft: Draft) -> None:
    """Write what each model refuses and answers rightly, and what it has forgotten."""
    known = {each.group for each in read_scored(reports["taught held-out"]) if each.is_right}
    lines, rows, gates = list[str](), list[list[str]](), list[page.Gate]()
    for name in ("taught", "abstains", "control"):
        scored = read_scored(reports[f"{name} held-out"])
        others = [each for each in scored if each.group not in known]
        own = [each for each in scored if each.group in known]
        found = {
            "unknown refused": rate([float(each.is_refusal) for each in others]),
            "known refused": rate([float(each.is_refusal) for each in own]),
            "known right": rate([float(each.is_right and not each.is_refusal) for each in own]),
            "bits per byte of taught's": _bits_ratio(reports, name, "taught"),
            "of base's": _bits_ratio(reports, name, "base"),
        }
        draft.numbers[name] = {key: value[:3] for key, value in found.items()}
        rows.append([name, *map(str, found.values())])
        lines.append(f"{name}: " + ", ".join(f"{key} {value}" for key, value in found.items()))
        gates += _gates(found) if name == "abstains" else ()
    lines += _thresholds(reports)
    draft.numbers["lines"] = lines
    lead = f"{len(known)} of the people held out are known. 95 % intervals."
    sheet = page.HtmlPage("What a model does not know", lead)
    sheet.section("Refusals", "Of the model that abstains, on the people held out.",
                  page.forest_plot(gates))  # fmt: skip
    table = page.table_element("Held-out people and text", ["model", *found], rows)
    sheet.section("All models", "The control answered where the other refused.", table)
    told = [page.element("p", line) for line in lines[len(rows) :]]
    sheet.section("Thresholds", "Of how sure the model that abstains is of its answers.", *told)
    write_text(draft.file("report.html"), sheet.render())


def _gates(found: Mapping[str, Interval]) -> Iterator[page.Gate]:
    for key, asked, limit, better in BARS:
        estimate, low, high = (100 * each for each in found[key][:3])
        is_met = estimate >= limit if better == "higher" else estimate <= limit
        yield page.Gate(
            key, asked, estimate, low, high, limit, "%", better, is_met, decides="estimate"
        )


def _thresholds(reports: Mapping[str, Artifact]) -> Iterator[str]:
    """What the thresholds that other people chose do to those held out."""
    scored = read_scored(reports["abstains held-out"])
    yield f"area under the curve of abstains: {reports['abstains held-out'].numbers['auroc']}"
    for risk, chosen in reports["abstains calibration"].numbers["thresholds"].items():
        if not chosen:
            yield f"at most {risk} wrong: no threshold holds that on the people who choose it"
        else:
            kept = [each for each in scored if each.score >= chosen["threshold"]]
            wrong = sum(not each.is_right for each in kept)
            yield f"at most {risk} wrong: {wrong} of {len(kept)} answers to {len(scored)} questions"


def _bits_ratio(reports: Mapping[str, Artifact], after: str, before: str) -> Interval:
    """Bits per byte of the validation text by one model, divided by those by another."""
    nats = (
        [-row["answers"][0]["logprob"] for row in read_sample_rows(reports[f"{name} text"], TEXT)]
        for name in (after, before)
    )
    return ratio_of_sums(*nats)
