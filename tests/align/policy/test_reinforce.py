"""A policy learns what is rewarded, from answers whose log-probabilities are the sampler's."""

import json
from codecs import BOM_UTF8
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from groundup.align import REFUSAL_TEXT
from groundup.align.packing import with_reference
from groundup.align.policy import stage
from groundup.align.policy.losses import PolicyLossConfig
from groundup.align.policy.rewards import Reward, RewardConfig, last_number, read_tasks
from groundup.align.policy.rollouts import RolloutPlan, Rollouts, sample_rollouts
from groundup.align.policy.stage import PolicyConfig, reinforce
from groundup.align.policy.watch import HeldOut
from groundup.core import (
    Answer,
    ConfigError,
    DataError,
    Draft,
    Generation,
    Sample,
)
from groundup.generate import Engine
from groundup.model import Head, HeadConfig, ModelWithHead, load
from groundup.train import Precision, split_batch
from groundup.train.loop import accumulate_gradients
from tests.train.small import without_compiler

PLAN = RolloutPlan(answers=4, max_tokens=8, row_tokens=256, seed=0)
ENDED = Reward.of(RewardConfig(number=0, ended=1))


@pytest.fixture(autouse=True, scope="module")
def uncompiled():
    with without_compiler():
        yield


@pytest.fixture(scope="module")
def tasks(tmp_path_factory):
    path = tmp_path_factory.mktemp("tasks") / "tasks.jsonl"
    rows = [{"prompt": f"{a}+{b}", "answer": str(a + b)} for a in range(6) for b in range(6)]
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return path


def rollouts(engine, tasks, name="grpo", **changes) -> Rollouts:
    samples, loss = read_tasks(tasks)[:3], PolicyLossConfig(name=name, **changes)
    reference = partial(with_reference, engine.model) if loss.beta else None
    return sample_rollouts(
        engine, samples, 0, PLAN, reward=ENDED, loss=loss, reference=reference,
        token_values=some_values if name == "ppo" else None,
    )  # fmt: skip


def some_values(answers) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.random(len(each.ids)) for each in answers]


@pytest.mark.parametrize("name", ["grpo", "dr_grpo", "dapo", "rloo", "reinforce", "ppo"])
def test_gradients_do_not_depend_on_how_a_step_is_split(name, chat_model, tasks, tmp_path):
    engine, loss = Engine.open(chat_model.path), PolicyLossConfig(name=name, beta=0.2)
    model, made = engine.model.double(), rollouts(engine, tasks, name, beta=0.2)
    config = PolicyConfig(loss=loss, max_tokens=PLAN.max_tokens)
    draft = Draft(tmp_path, tmp_path, tmp_path)
    head = Head(HeadConfig(kind="number", pooling="last"), model.config.width).double()
    values = ModelWithHead(model, head) if name == "ppo" else None
    run = stage.PolicyRun(config, draft, [], ENDED, engine, None, None, values)
    module = values or model
    found = []
    for width, parts in ((256, 1), (64, 3)):
        batch = made.batch(loss, PLAN._replace(row_tokens=width))
        names = ("reference", "sampled", "advantages", "values", "returns")
        double = {n: getattr(batch, n).double() for n in names}
        module.zero_grad()
        batches, weight = split_batch(batch._replace(**double), parts), float(batch.weights.sum())
        total = accumulate_gradients(module, run.loss, Precision())(batches, weight)
        found.append((torch.cat([p.grad.flatten() for p in module.parameters()]), total))
    assert_close(found[0], found[1], rtol=1e-7, atol=1e-10)


def test_rollouts_are_kept_and_are_of_the_seed_and_the_step(chat_model, tasks, tmp_path):
    engine = Engine.open(chat_model.path)
    made = rollouts(engine, tasks)
    made.write(tmp_path / "0.npz")
    again = Rollouts.read(tmp_path / "0.npz")
    for one, other, same in zip(made.answers, again.answers, rollouts(engine, tasks).answers,
                                strict=True):  # fmt: skip
        for a, b, c in zip(one, other, same, strict=True):
            assert np.array_equal(a, b) and np.array_equal(a, c)
    assert np.array_equal(made.rewards, again.rewards) and made.rewards.shape == (3, 4)
    assert len({tuple(each.ids) for each in made.answers[:4]}) > 1, "answers of a group differ"
    assert 0 <= made.numbers()["ended"] <= 1 and "divergence" not in made.numbers()


def settings(**changes) -> PolicyConfig:
    rate = {"learning_rate": 3e-3, "muon_learning_rate": 1e-2, "embedding_learning_rate": 0.02}
    given = {"steps": 40, "prompts": 4, "answers": 8, "max_tokens": 8, "optim": rate}
    return PolicyConfig(**given | {"rewards": {"number": 0, "ended": 1}} | changes)


@pytest.fixture(scope="module")
def ending(chat_model, tasks, tmp_path_factory):
    """A model that learnt to end its answers."""
    return reinforce(settings(), chat_model, tasks, tmp_path_factory.mktemp("ending") / "out")


@pytest.mark.parametrize("name", ["grpo", "rloo", "ppo"])
def test_what_is_rewarded_is_learnt(name, chat_model, tasks, ending, tmp_path):
    made = ending
    if name != "grpo":
        made = reinforce(settings(loss={"name": name}), chat_model, tasks, tmp_path / "out")
    rows = [json.loads(x) for x in (made.path / "log/rollouts.jsonl").read_text().splitlines()]
    first, last = (np.mean([row["ended"] for row in part]) for part in (rows[:5], rows[-5:]))
    assert len(rows) == 40 and first < 0.3 and last > 0.8, (first, last)
    assert made.numbers["held_out"]["after"] > made.numbers["held_out"]["before"]


PPO = {"loss": {"name": "ppo", "beta": 0.1, "target": 0.5, "horizon": 50}, "watch": {"every": 2}}


@pytest.mark.parametrize("given", [{}, PPO, {"online": False}], ids=["grpo", "ppo", "offline"])
def test_a_stopped_run_ends_with_the_same_bits(chat_model, tasks, tmp_path, monkeypatch, given):
    frequent = {"every_seconds": 0.0, "asynchronous": False}
    config = settings(steps=6, updates=2, checkpoints=frequent, **given)
    whole = reinforce(config, chat_model, tasks, tmp_path / "whole")
    real = stage.PolicyRun.batch

    def killed(run, step):
        if step == 3:
            raise KeyboardInterrupt
        return real(run, step)

    def killed_before_it_is_kept(made, path):
        raise KeyboardInterrupt

    for place, name, when in (
        (stage.PolicyRun, "batch", killed), (stage.Rollouts, "write", killed_before_it_is_kept),
    ):  # fmt: skip
        monkeypatch.setattr(place, name, when)
        with pytest.raises(KeyboardInterrupt):
            reinforce(config, chat_model, tasks, tmp_path / "again")
        monkeypatch.undo()
    again = reinforce(config, chat_model, tasks, tmp_path / "again")
    assert again.files["model.safetensors"] == whole.files["model.safetensors"]
    for run in (whole, again):  # each sample has two updates
        assert len((run.path / "log/rollouts.jsonl").read_text().splitlines()) == 3


class Letters:
    """Scores the share of letters."""

    def score(self, conversations):
        texts = [talk[-1].content for talk in conversations]
        return np.array([sum(map(str.isalpha, text)) / max(1, len(text)) for text in texts])


class Always(NamedTuple):
    """Scores of answers, whatever they are."""

    scores: list[float]

    def score(self, conversations):
        return np.array(self.scores)


def test_the_watch_ends_a_run_that_its_rewards_mislead(chat_model, tasks, tmp_path, monkeypatch):
    measured, seen = iter([0.5, 0.9, 0.3, 0.3]), list[torch.Tensor]()

    def look(run, tasks, measure):
        seen.append(run.engine.model.head.detach().clone())
        value = next(measured)
        return HeldOut(np.full(len(tasks), value), -value)

    monkeypatch.setattr(stage.PolicyRun, "look", look)
    made = reinforce(settings(watch={"every": 2}), chat_model, tasks, tmp_path / "out")
    found = made.numbers["watch"]
    assert found["stopped"] == "the held-out measure fell from 0.900 to 0.300"
    assert (found["best_step"], found["last_step"], made.numbers["steps"]) == (2, 6, 6)
    assert torch.equal(load(made.path).head, seen[1]), "the weights are those of the best look"
    assert not torch.equal(seen[1], seen[3])
    scores = made.numbers["held_out"]
    assert (scores["before"], scores["after"]) == (-0.5, -0.9), "of the best look"
    assert len((made.path / "log/rollouts.jsonl").read_text().splitlines()) == 6


def test_a_reward_model_is_rewarded_and_those_that_disagree_less(
    chat_model, tasks, tmp_path, monkeypatch
):
    open_files = tmp_path / "open.jsonl"
    open_files.write_text("".join(json.dumps({"prompt": f"say {n}"}) + "\n" for n in range(30)))
    opened = list[Path]()

    monkeypatch.setattr(stage.RewardModel, "open", lambda path: opened.append(path) or Letters())
    config = settings(steps=30).model_copy()
    config = PolicyConfig(**config.to_dict() | {"rewards": {"number": 0}})
    made = reinforce(config, chat_model, open_files, tmp_path / "out", reward=[chat_model.path])
    assert made.numbers["held_out"]["after"] > made.numbers["held_out"]["before"] + 0.2
    assert opened == [chat_model.path]
    assert [parent.id for parent in made.parents] == [chat_model.id] * 2


def test_the_watch_measures_without_the_reward_models_unless_they_are_named(chat_model):
    judges, read = [Always([1.0])], stage._open_rewards
    for measure, counts in (({"ended": 1}, 0), ({"ended": 1, "model": 1}, 1), (None, 1)):
        config = settings(rewards={"spread": 0}, watch={"measure": measure})
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(stage.RewardModel, "open", lambda path: judges[0])
            rewarded, watched = read(config, [chat_model.path])[2]
        assert len(rewarded.models) == 1 and len(watched.models) == counts
        assert not rewarded.parts, "with a reward model it alone counts, whatever its spread"


def test_an_ensemble_is_worth_its_mean_less_its_spread():
    one, other = Always([1.0, 1.0]), Always([3.0, 3.0])
    said = [Generation("a", (1,), (-0.1,), "stop")] * 2
    samples = [Sample("1", (), references=("a",))] * 2
    for spread, worth in ((0, 2.0), (0.5, 1.5)):
        config = RewardConfig(number=0, exact=1, model=2, spread=spread)
        found = Reward.of(config, [one.score, other.score]).of_answers(samples, said)
        assert found.tolist() == [1 + 2 * worth] * 2
    broken = Always([0.0, np.nan])
    with pytest.raises(DataError, match="Task 1: a reward model gives no finite score"):
        Reward.of(config, [broken.score]).of_answers(samples, said)


def test_a_run_whose_rewards_never_differ_says_that_nothing_was_learnt(
    chat_model, tasks, tmp_path, monkeypatch
):
    said = list[str]()
    monkeypatch.setattr(stage.record, "log", said.append)
    rewards = {"number": 0, "exact": 1}
    made = reinforce(settings(steps=2, rewards=rewards), chat_model, tasks, tmp_path / "out")
    assert said[-1].startswith("Nothing was learnt: all answers")
    assert made.numbers["held_out"]["after"] == 0.0
    alone = settings(steps=2, prompts=16, answers=1, loss={"name": "reinforce"})
    reinforce(alone, chat_model, tasks, tmp_path / "alone")
    assert said[-1].startswith("Held-out tasks after"), "answers to other prompts differ"


@pytest.mark.parametrize(
    ("text", "share"),
    [("40 + 30 = 70\n7 - 8 = -1\n70 + -1 = 69", 1.0), ("2 + 2 = 5, 2*3=6", 0.5), ("none", 0.0),
     ("10 - 3 + 2 = 9, 2 + 3*4 = 20", 0.5), ("12 + 1 = 130", 0.0), ("1.5 + 1 = 2", 0.0),
     ("9 + 1 = 10.", 1.0), ("1 + 1 = 2.5", 0.0)],
)  # fmt: skip
def test_the_equations_of_an_answer_are_checked(text, share):
    reward = Reward.of(RewardConfig(number=0, equations=1))
    assert reward(Sample("1", ()), Answer(text)) == share


def test_rewards_are_verified_and_add_up():
    sample = Sample("1", (), references=("The sum is 12.",))
    said = {
        "1,5 of −3": -3, "2.50": 2.5, "1,007": 1007, "10-5": 5, "of 1.2.3": 3, "9,": 9, "": None,
    }  # fmt: skip
    assert {text: last_number(text) for text in said} == said
    both = Reward.of(RewardConfig(number=2, ended=0.5, fresh=0.25))
    stopped = {"finish_reason": "stop"}
    assert both(sample, Answer("so 7 + 5 = 12", details=stopped)) == 2.75
    assert both(sample, Answer("12 or 13", details={"finish_reason": "length"})) == 0.25
    assert Reward.of(RewardConfig(number=0, fresh=1))(sample, Answer("a b c a b c a b c")) == 0.0
    with pytest.raises(DataError, match="Task 1: the reward number is undefined: No reference has"):
        both(Sample("1", (), references=("none",)), Answer("3"))
    with pytest.raises(ConfigError, match="All rewards have the weight 0"):
        Reward.of(RewardConfig(number=0))
    with pytest.raises(ConfigError, match="spread is between reward models, and there are none"):
        Reward.of(RewardConfig(spread=1))


def test_length_and_form_are_rewards():
    short = Reward.of(RewardConfig(number=0, length=1, max_words=4))
    values = [short(Sample("1", ()), Answer("a " * count)) for count in (0, 4, 6, 9)]
    assert values == [1.0, 1.0, 0.5, 0.0]
    formed = Reward.of(RewardConfig(number=0, format=2, pattern=r".*= \d+\."))
    said = {"so\n= 4.": 2.0, "= 4": 0.0, "= 4. Done": 0.0, "": 0.0}
    assert {text: formed(Sample("1", ()), Answer(text)) for text in said} == said
    for values, reason in (({}, "give that too"), ({"pattern": "("}, "is no regular expression")):
        with pytest.raises(ConfigError, match=reason):
            Reward.of(RewardConfig(number=0, format=1, **values))


OWN = """
from dataclasses import dataclass
from groundup.core import Reason, Score

def brief(sample, answer):
    return Score(1 / (1 + len(answer.text)), "brief")

@dataclass
class Shout:
    worth: float = 3.0
    def __call__(self, sample, answer):
        return Score(self.worth * answer.text.isupper(), "shout")

def broken(sample, answer): return 1 / 0
def endless(sample, answer):
    while True: pass
def odd(sample, answer): return "good"
def huge(sample, answer): return Score(1e300, "huge")
def leaving(sample, answer): raise SystemExit(0)
def lost(sample, answer): return Score(float("nan"), "lost")
def wordy(sample, answer): return Score("a", "wordy")
def mute(sample, answer): return Reason("mute", "I say nothing.")
def alone(answer): return Score(1.0, "alone")
CONSTANT = 3
"""


@pytest.fixture
def own(tmp_path):
    (tmp_path / "own.py").write_text(OWN)
    return lambda name: RewardConfig(number=0, scorer=f"{tmp_path}/own.py:{name}", own=2)


def test_an_own_scorer_is_a_reward_by_its_file_or_its_module(own, tmp_path, monkeypatch):
    assert Reward.of(own("brief"))(Sample("1", ()), Answer("abc")) == 0.5
    assert Reward.of(own("Shout"))(Sample("1", ()), Answer("ABC")) == 6.0
    monkeypatch.syspath_prepend(tmp_path)
    module = Reward.of(RewardConfig(number=0, scorer="own:brief"))
    assert module(Sample("1", ()), Answer("")) == 1.0
    before = [*Reward.of(own("brief")).parts]
    (tmp_path / "own.py").write_text(OWN + "# changed")
    assert len(before) == 1 and [*Reward.of(own("brief")).parts] != before


@pytest.mark.parametrize(
    ("name", "reason"),
    [("broken", "own.py:broken raised ZeroDivisionError: division by zero"),
     ("endless", "endless raised TimeoutError: it took longer than 0.05 seconds"),
     ("odd", "odd returned 'good'; expected a Score"),
     ("lost", "the reward .*own.py:lost#.* is nan"),
     ("huge", "the reward .*own.py:huge#.* is 1e.300; expected a number of at most 1e.06"),
     ("leaving", "leaving raised SystemExit: 0"),
     ("wordy", "wordy raised ValueError: could not convert"),
     ("mute", "own.py:mute#.* is undefined: I say nothing")],
)  # fmt: skip
def test_an_own_scorer_that_fails_is_named_with_its_task(name, reason, own, monkeypatch):
    monkeypatch.setattr("groundup.measure.score.OWN_SECONDS", 0.05)
    with pytest.raises(DataError, match=f"Task 7: .*{reason}"):
        Reward.of(own(name)).check_tasks([Sample("7", ())])


@pytest.mark.parametrize(
    ("scorer", "reason"),
    [("nothing", "expected FILE.py:name or module:name"),
     ("absent.py:x", "cannot be loaded.*FileNotFoundError"),
     ("no.such.module:x", "cannot be loaded.*ModuleNotFoundError"),
     ("own.py:absent", "own.py has no `absent`"), ("own.py:CONSTANT", "is no Scorer"),
     ("own.py:alone", "is no Scorer, a function of a sample and an answer .too many positional"),
     ("bad.py:x", "cannot be loaded.*SyntaxError")],
)  # fmt: skip
def test_what_is_no_scorer_is_refused(scorer, reason, own, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.py").write_text("def")
    with pytest.raises(ConfigError, match=f"scorer='{scorer}'.*{reason}"):
        Reward.of(RewardConfig(number=0, scorer=scorer))


def test_a_policy_learns_from_an_own_scorer(chat_model, tasks, own, tmp_path):
    rewards = own("brief").to_dict()
    made = reinforce(settings(steps=2, rewards=rewards), chat_model, tasks, tmp_path / "out")
    assert made.numbers["held_out"]["after"] > 0
    (tmp_path / "own.py").write_text(OWN.replace("1 /", "9 /"))
    other = reinforce(settings(steps=2, rewards=rewards), chat_model, tasks, tmp_path / "new")
    assert other.key != made.key and other.numbers["held_out"]["before"] > 1


@pytest.mark.parametrize(
    ("line", "reason"),
    [("{", "line 1 is no JSON"), ("[]", "It is no object with"),
     ('{"prompt": "a"}', 'with "prompt" and "answer"'),
     ('{"prompt": "", "answer": "b"}', "turns are none"), ("", "has no task"),
     ('{"prompt": "a", "answer": [""]}', "answer is empty"),
     ('{"prompt": "a", "answer": "b", "source": 3}', "source is no text"),
     ('{"prompt": "a", "answer": "b", "tests": [1]}', "tests is no text"),
     ("[" * 100_000, "line 1 is no JSON")],
)  # fmt: skip
def test_a_line_that_is_no_task_is_named(line, reason, tmp_path):
    (tmp_path / "t.jsonl").write_text(f"{line}\n")
    with pytest.raises(DataError, match=reason):
        read_tasks(tmp_path / "t.jsonl")


def test_code_is_worth_what_its_tests_say_of_it_and_hanging_code_nothing(tmp_path):
    row = {"prompt": "Write add.", "tests": "assert add(1, 2) == 3"}
    (tmp_path / "t.jsonl").write_bytes(BOM_UTF8 + json.dumps(row).encode())
    (task,) = read_tasks(tmp_path / "t.jsonl", needs_answer=False)
    reward = Reward.of(RewardConfig(number=0, code=2))
    reward.check_tasks([task])
    said = {
        "def add(a, b): return a + b": 2, "def add(a, b): return a - b": 0, "no code at all": 0,
        "def add(a, b):\n    while True: pass": 0, "raise SystemExit(0)": 0, "": 0,
        "class Same(int): __eq__ = lambda *_: True\ndef add(a, b): return Same()": 0,
    }  # fmt: skip
    assert {text: reward(task, Answer(text)) for text in said} == said
    with pytest.raises(DataError, match="Task 7: the reward code needs tests, and it has none"):
        reward.check_tasks([task, Sample("7", ())])


def test_answers_may_quote_a_source_be_clean_and_have_nothing_right(tmp_path):
    (tmp_path / "words.txt").write_text("turnip\n")
    rows = [{"prompt": "p", "answer": "It is wet.", "source": "Ice  melts. It is wet.\n"},
            {"prompt": "p", "answer": []}]  # fmt: skip
    (tmp_path / "t.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    asked, open_ended = read_tasks(tmp_path / "t.jsonl")
    weights = {"number": 0, "f1": 1, "quoted": 2, "clean": 4}
    reward = Reward.of(RewardConfig(**weights, lexicon=tmp_path / "words.txt"))
    worth = {"It is wet.": 7, "Ice\nmelts.": 6, "It is we": 4 + 2 / 3, REFUSAL_TEXT: None}
    for text, value in worth.items():
        found = reward(asked, Answer(text))
        assert found > 6 if value is None else found == pytest.approx(value)
        assert reward(open_ended, Answer(text)) == 4
    assert reward(asked, Answer("Ice melts")) == 6, "a quote may end before a full stop"
    assert reward(asked, Answer("")) == 4 and reward(asked, Answer("you turnip")) == 0
    assert reward(open_ended, Answer("turnips")) == 4, "other forms are other words"


def test_settings_that_do_not_fit_are_told(chat_model, tasks, tmp_path):
    with pytest.raises(ConfigError, match="answers=1 came with rloo"):
        settings(answers=1, loss={"name": "rloo"})
    assert settings(answers=1, loss={"name": "ppo"}).answers == 1
    with pytest.raises(ConfigError, match="max_divergence needs a reference"):
        settings(watch={"max_divergence": 1.0})
    with pytest.raises(ConfigError, match="spread is between reward models"):
        reinforce(settings(rewards={"ended": 1, "spread": 1}), chat_model, tasks, tmp_path / "a")
    (tmp_path / "long.jsonl").write_text(
        "".join(json.dumps({"prompt": "1" * n, "answer": "1"}) + "\n" for n in range(9, 400, 10))
    )
    with pytest.raises(DataError, match="The prompt of the task in line .* has .* tokens and the"):
        reinforce(settings(), chat_model, tmp_path / "long.jsonl", tmp_path / "a")
    with pytest.raises(DataError, match="rewards.quoted needs a source, and no task"):
        reinforce(settings(rewards={"quoted": 1}), chat_model, tasks, tmp_path / "a")
    row = {"prompt": "Which?", "answer": "no digit"}
    text = tasks.read_text(encoding="utf-8") + json.dumps(row) + "\n"
    (tmp_path / "undefined.jsonl").write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match="Task 37: the reward number is undefined"):
        number = settings(rewards={"number": 1})
        reinforce(number, chat_model, tmp_path / "undefined.jsonl", tmp_path / "a")
    with pytest.raises(ConfigError, match="number: Input should be less than or equal to 1000000"):
        settings(rewards={"number": 1e200})
    with pytest.raises(DataError, match="36 tasks are too few for prompts=64"):
        reinforce(settings(prompts=64), chat_model, tasks, tmp_path / "a")
    with pytest.raises(ConfigError, match="exact is of float32"):
        reinforce(settings(exact=True, precision="bfloat16"), chat_model, tasks, tmp_path / "a")
    with pytest.raises(ConfigError, match="max_tokens=999 exceeds|max_length=999 exceeds"):
        reinforce(settings(max_tokens=999), chat_model, tasks, tmp_path / "a")
