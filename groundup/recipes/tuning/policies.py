"""Models trained on from one start, side by side on tasks whose answers a program can check.

Measured are right answers, how often a sampled answer is better than one of the start, divergence
from it, variety, and what is left of the base's knowledge: bits per byte of unseen text.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from groundup.align import (
    FinetuneConfig,
    ImportExamplesConfig,
    PolicyConfig,
    PolicyLossConfig,
    Reward,
    RewardConfig,
    RolloutPlan,
    WatchConfig,
    finetune,
    import_examples,
    sample_rollouts,
    with_reference,
)
from groundup.core import (
    MANIFEST,
    Artifact,
    Draft,
    Sample,
    Sampling,
    device,
    page,
    record,
    write_json,
    write_text,
)
from groundup.evaluate import EvaluateConfig, evaluate, read_report
from groundup.generate import Engine
from groundup.measure import Interval, bootstrap, rate
from groundup.model import load
from groundup.train import OptimConfig

RIGHT = RewardConfig(number=1)
ANSWERS, MAX_TOKENS = 8, 40
"""Sampled answers to a prompt in training, tokens of one."""
SAMPLED = 4
"""Answers to each task that is measured."""
NUMBERS, HELD_OUT = range(10, 100), 12


class TaskFiles(NamedTuple):
    """Files of a task, as JSON lines."""

    conversations: Path
    tasks: Path
    test: Path


class SumsConfig(NamedTuple):
    """How many of the sums and differences of two-digit numbers are used, and for what."""

    shown: int = 2_000
    """Conversations of tuning."""
    rewarded: int = 4_000
    tested: int = 300
    careless: float = 0.7
    """Share of the shown calculations with a carry whose carry is forgotten. A model of people's
    usual mistakes: 47 + 38 = 75, and 52 - 17 = 45 (Brown & Burton 1978). Tuning stops improving at
    what it is shown; rewards need not."""


class Start(NamedTuple):
    """What the trainings of a recipe begin with."""

    files: TaskFiles
    tuned: Artifact
    tokens: Artifact | None
    base_bits: float | None
    """What the base needs for a byte of unseen text; None without tokens."""


def tune_for_sums(
    base: Path, tokens: Path, out: Path, config: SumsConfig, seed: int, epochs: int = 10
) -> Start:
    """Tune a base model on conversations of the task; both inputs are looked at first."""
    root = Artifact.open(base, "model")
    text = Artifact.open(tokens, "tokens") if (tokens / MANIFEST).is_file() else None
    files = write_sums(out / "task", config, seed)
    examples = import_examples(ImportExamplesConfig(), [files.conversations], out / "examples")
    tuning = FinetuneConfig(epochs=epochs, max_length=256, seed=seed)
    tuned = finetune(tuning, root, examples, out / "tuned")
    bits = None if text is None else _bits_per_byte(root, text, out / "evaluations" / "base")
    return Start(files, tuned, text, bits)


def policy_config(steps: int, seed: int, rewards: RewardConfig = RIGHT) -> PolicyConfig:
    """How GRPO trains on the task, at twice a policy's usual rates: it is far from a base's text.

    rewards  what is rewarded; watched are right answers
    """
    optim = OptimConfig(muon_learning_rate=2e-3, learning_rate=2e-4, embedding_learning_rate=1e-2)
    return PolicyConfig(
        steps=steps, prompts=16, answers=ANSWERS, max_tokens=MAX_TOKENS, held_out=0.02, seed=seed,
        rewards=rewards, watch=WatchConfig(measure=RIGHT), optim=optim,
    )  # fmt: skip


class PolicyMeasures(NamedTuple):
    """What a model is worth on the test's tasks."""

    right: Interval
    """Share of its most likely answers that are right."""
    gain: Interval
    """That share less the tuned model's, by task."""
    wins: Interval
    """Share of tasks on which its sampled answers are better than the tuned model's, ties half."""
    sampled: float
    """Share of its sampled answers that are right."""
    divergence: float
    """From the tuned model, nats of an answer."""
    distinct: float
    """Share of different answers among those sampled to one prompt."""
    bits_per_byte: float | None
    """Of unseen text; None without tokens."""
    seconds: float
    """Of training."""


def write_sums(path: Path, config: SumsConfig, seed: int) -> TaskFiles:
    """Write the tasks; some numbers occur in the test alone."""
    rng = np.random.default_rng(seed)
    held_out = {int(each) for each in rng.choice([*NUMBERS], HELD_OUT, replace=False)}
    every: list[tuple[int, int, int]] = [
        (a, sign, b) for a in NUMBERS for b in NUMBERS for sign in (1, -1)
    ]
    every = [every[at] for at in rng.permutation(len(every))]
    train = [each for each in every if not {each[0], each[2]} & held_out]
    test = [each for each in every if {each[0], each[2]} & held_out]
    rows = [_row(*each) for each in train]
    forgets = (rng.random(config.shown) < config.careless).tolist()
    talks = [
        {"messages": [{"role": "user", "content": row["prompt"]},
                      {"role": "assistant", "content": worked_answer(*each, forgotten)}]}
        for each, row, forgotten in zip(train, rows, forgets, strict=False)
    ]  # fmt: skip
    path.mkdir(parents=True, exist_ok=True)
    files = TaskFiles(path / "conversations.jsonl", path / "tasks.jsonl", path / "test.jsonl")
    asked = [_row(*each) for each in test[: config.tested]]
    for file, some in zip(files, (talks, rows[: config.rewarded], asked), strict=True):
        write_text(file, "".join(f"{json.dumps(row)}\n" for row in some))
    return files


def _row(a: int, sign: int, b: int) -> dict[str, str]:
    mark = "+" if sign > 0 else "-"
    return {"prompt": f"{a} {mark} {b}", "answer": str(a + sign * b)}


def worked_answer(a: int, sign: int, b: int, forgets: bool) -> str:
    """What tuning shows as an answer: its steps, one a line.

    >>> worked_answer(47, 1, 38, forgets=False)
    '40 + 30 = 70\\n7 + 8 = 15\\n70 + 15 = 85'
    >>> worked_answer(52, -1, 17, forgets=True)
    '50 - 10 = 40\\n2 - 7 = 5\\n40 + 5 = 45'
    """
    mark = "+" if sign > 0 else "-"
    tens, ones = a // 10 * 10 + sign * (b // 10 * 10), a % 10 + sign * (b % 10)
    said = abs(ones) if forgets else ones  # the smaller from the larger
    total = tens + (said % 10 if forgets else ones)
    return (
        f"{a // 10 * 10} {mark} {b // 10 * 10} = {tens}\n"
        f"{a % 10} {mark} {b % 10} = {said}\n"
        f"{tens} + {said} = {total}"
    )


def measure_policies(
    models: Mapping[str, Artifact], tasks: Sequence[Sample], tokens: Artifact | None, out: Path, *,
    max_tokens: int, seed: int,
) -> dict[str, PolicyMeasures]:  # fmt: skip
    """Measure models on tasks; the first is what the others are compared with."""
    found, scorer = dict[str, PolicyMeasures](), Reward.of(RIGHT)
    first = next(iter(models.values()))
    before = load(first.path).to(device.default_device())
    usual_right, usual = np.zeros(0), np.zeros(0)
    for name, artifact in models.items():
        engine = Engine.open(artifact.path)
        prompts = [engine.prompt_ids(each.conversation) for each in tasks]
        said = engine.continue_ids(prompts, Sampling(max_tokens=max_tokens), shows_progress=False)
        right = (scorer.of_answers(tasks, said) > 0).astype(float)
        usual_right = usual_right if len(usual_right) else right
        gain = bootstrap(right - usual_right, limits=(-1, 1))
        plan = RolloutPlan(SAMPLED, max_tokens, engine.model.config.context_length, seed)
        usual_logprobs = partial(with_reference, before, vocab_size=engine.tokenizer.vocab_size)
        drawn = sample_rollouts(
            engine, tasks, 0, plan, reward=scorer, reference=usual_logprobs,
            loss=PolicyLossConfig(beta=1.0),  # so that the divergence is measured
        )  # fmt: skip
        scores = drawn.rewards.mean(1)
        usual = usual if len(usual) else scores
        wins = bootstrap((scores > usual) + (scores == usual) / 2, limits=(0, 1))
        left = None if tokens is None else _bits_per_byte(artifact, tokens, out / name)
        found[name] = PolicyMeasures(
            rate(right), gain, wins, float(scores.mean()), drawn.divergence, drawn.distinct, left,
            artifact.seconds,
        )  # fmt: skip
        record.log(f"{name:<6} right {found[name].right}, better than tuned {wins}")
    return found


def _bits_per_byte(model: Artifact, tokens: Artifact, out: Path) -> float:
    config = EvaluateConfig(split="validation", batch_tokens=4_096)
    evaluate(str(model.path), config=config, tokens=tokens, out=out)
    measures = read_report(Artifact.open(out, "report")).tasks[0].measures
    found = next(each.result for each in measures if each.key == "bits_per_byte")
    return found.estimate if isinstance(found, Interval) else float("nan")


def write_comparison(
    draft: Draft, title: str, methods: Mapping[str, str], found: Mapping[str, PolicyMeasures],
    sections: Iterable[tuple[str, str, page.Html]] = (), base_bits: float | None = None,
) -> None:  # fmt: skip
    """Write report.json and report.html.

    methods    what each model but the first was trained on, in a few words
    sections   title, lead and content of what else the page shows
    base_bits  of the base, for a byte of unseen text
    """
    first = next(iter(found))
    usual = found[first].right.estimate
    best = max(methods, key=lambda name: found[name].right.estimate)
    better = [name for name in methods if found[name].gain.low > 0]
    lead = (
        f"{best} answers {found[best].right.estimate:.0%} of the test's tasks rightly, {first} "
        f"{usual:.0%}; certainly better than it: {', '.join(better) or 'none'}."
    )
    draft.numbers |= {name: _as_numbers(each) for name, each in found.items()}
    known, of_base = {}, ""
    if base_bits is not None:
        known = {"base_bits_per_byte": round(base_bits, 4)}
        of_base = f" The base needs {base_bits:.3f} bits per byte of unseen text."
    write_json(draft.path / "report.json", {"lead": lead, "models": draft.numbers} | known)
    sheet = page.HtmlPage(title, lead)
    gates = [_gate(name, methods[name], found[name].gain, first) for name in methods]
    lead = f"Of the most likely answer to each task of the test, less those of {first}."
    sheet.section("Right answers gained", lead, page.forest_plot(gates))
    sheet.section(
        "Side by side", f"A sampled answer wins if it is right and that of {first} is not; ties "
        f"count half. The divergence is that of an answer from {first}.{of_base}", _table(found),
    )  # fmt: skip
    for section in sections:
        sheet.section(*section)
    write_text(draft.path / "report.html", sheet.render())


def _gate(name: str, what: str, gain: Interval, first: str) -> page.Gate:
    estimate, low, high = (100 * each for each in gain[:3])
    return page.Gate(
        name, f"Trained on {what}: more right answers than {first}.", estimate, low, high, 0,
        "points", "higher", low > 0, is_undecided=high > 0,
    )  # fmt: skip


def _table(found: Mapping[str, PolicyMeasures]) -> page.Html:
    titles = (
        "right, %", "sampled right, %", "wins, %", "interval", "divergence, nats", "different, %",
        "bits per byte of unseen text", "seconds",
    )  # fmt: skip
    rows = [
        [name, 100 * each.right.estimate, 100 * each.sampled, 100 * each.wins.estimate,
         f"{100 * each.wins.low:.0f} to {100 * each.wins.high:.0f}", abs(round(each.divergence, 4)),
         100 * each.distinct, each.bits_per_byte, each.seconds]
        for name, each in found.items()
    ]  # fmt: skip
    columns = ["model", *(page.TableColumn(title, title != "interval") for title in titles)]
    return page.table_element("Models on the test's tasks", columns, rows)


def rewards_chart(models: Mapping[str, Artifact]) -> page.Html:
    """The mean reward of what each update sampled."""
    curves = list[page.Series]()
    for name, model in models.items():
        rows = record.read_metrics(model.path / "log" / "rollouts.jsonl")
        curves.append(
            page.Series(name, [row["step"] for row in rows], [row["reward"] for row in rows])
        )
    title = "Mean reward of an update's answers"
    return page.line_chart(title, curves, x_label="update", y_label="reward")


def _as_numbers(found: PolicyMeasures) -> dict[str, Any]:
    values = found._asdict()
    for name in ("right", "gain", "wins"):
        values[name] = [round(each, 4) for each in values[name][:3]]
    return {name: round(v, 4) if isinstance(v, float) else v for name, v in values.items()}
