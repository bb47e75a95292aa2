"""One tuned model, trained on by four methods on one task, side by side.

    base ─ examples ─ tuned ┬ answers, scored ─ preferences ┬ dpo, kto
                            │                               └ reward model ─ ppo
                            └ tasks, rewarded ─ grpo

The task is sums and differences of two numbers of two digits, answered in three equations; some
numbers occur in the test alone, and what tuning shows is careless. Every method starts from the
same tuned model (policies.py has the task and measures them).
"""

from pathlib import Path

from groundup.align import (
    AnswersConfig,
    DirectConfig,
    PolicyLossConfig,
    PreferenceLossConfig,
    RewardConfig,
    RewardModelConfig,
    VotesConfig,
    apply_votes,
    direct,
    read_tasks,
    reinforce,
    reward,
    sample_answers,
    score_comparisons,
)
from groundup.core import Artifact, Config, Draft, page, produce, record, write_text

from .policies import (
    ANSWERS,
    MAX_TOKENS,
    RIGHT,
    SumsConfig,
    TaskFiles,
    measure_policies,
    policy_config,
    rewards_chart,
    tune_for_sums,
    write_comparison,
)

TASK = SumsConfig()
COMPARED, LENGTH = 600, 96
"""Prompts whose sampled answers make preferences, tokens of a prompt with its answer."""
METHODS = {
    "dpo": "right answers preferred to wrong ones",
    "kto": "the same answers, each good or bad",
    "ppo": "scores of a reward model of the same pairs",
    "grpo": "right answers, rewarded as they are sampled",
}


def align(
    *,
    base: Path = Path("runs/tiny/base"),
    tokens: Path = Path("runs/tiny/tokens"),
    out: Path = Path("runs/align"),
    steps: int = 60,
    seed: int = 0,
) -> str:
    """Tune a base model for a task, and train it on by DPO, KTO, PPO and GRPO, side by side.

    base    a base model, such as the demo's
    tokens  its tokens, on whose held-out text its knowledge is measured; left out if missing
    out     folder of the artifacts; an existing run is resumed
    steps   updates of PPO and of GRPO
    seed    of the task, and of every training
    """
    policy_config(steps, seed)  # refuses what it cannot be before anything is trained
    files, tuned, text, bits = tune_for_sums(base, tokens, out, TASK, seed)
    made = _train_methods(tuned, files, out, steps, seed)
    models = {"tuned": tuned} | {name: made[name] for name in METHODS}

    def write(draft: Draft) -> None:
        found = measure_policies(
            models, read_tasks(files.test), text, out / "evaluations", max_tokens=MAX_TOKENS,
            seed=seed,
        )  # fmt: skip
        judge = made["reward"].numbers["held_out"]
        share, low, high = judge["accuracy"]
        lead = (
            "PPO is rewarded by a reward model, in a unit of its own, which orders "
            f"{share:.0%} [{low:.0%}, {high:.0%}] of {judge['pairs']} held-out pairs rightly; the "
            f"longer answer is the better one in {judge['longer_is_better']:.0%}."
        )
        charts = rewards_chart({"ppo": made["ppo"]}) + rewards_chart({"grpo": made["grpo"]})
        sections = [("Rewards in training", lead, page.Html(charts))]
        write_comparison(draft, "One task, four ways to train on", METHODS, found, sections, bits)

    report = produce(
        out / "report", kind="report", stage="align-report", version=1,
        config=Config(), parents={"tuned": tuned} | made, write=write,
    )  # fmt: skip
    return f"Done; the report is {report.path / 'report.html'}"


def _train_methods(
    tuned: Artifact, files: TaskFiles, out: Path, steps: int, seed: int
) -> dict[str, Artifact]:
    """Preferences, a reward model, and the models that were trained on."""
    some = out / "task" / "compared.jsonl"
    write_text(some, "".join(files.tasks.read_text().splitlines(keepends=True)[:COMPARED]))
    asked = AnswersConfig(answers=ANSWERS, max_tokens=MAX_TOKENS, seed=seed)
    answers = sample_answers(asked, [some], out / "answers", model=str(tuned.path))
    record.log(str(score_comparisons(answers, config=RIGHT)))
    pairs = apply_votes(VotesConfig(seed=seed), answers, out / "preferences")
    judge = reward(RewardModelConfig(max_length=LENGTH, seed=seed), tuned, pairs, out / "reward")
    ppo = policy_config(steps, seed, RewardConfig(number=0)).model_copy(
        update={"loss": PolicyLossConfig(name="ppo", beta=0.02)}
    )
    dpo = DirectConfig(max_length=LENGTH, seed=seed)
    kto = DirectConfig(max_length=LENGTH, seed=seed, loss=PreferenceLossConfig(name="kto"))
    return {
        "answers": answers, "preferences": pairs, "reward": judge,
        "dpo": direct(dpo, tuned, pairs, out / "dpo"),
        "kto": direct(kto, tuned, pairs, out / "kto"),
        "ppo": reinforce(ppo, tuned, files.tasks, out / "ppo", reward=[judge.path]),
        "grpo": reinforce(policy_config(steps, seed), tuned, files.tasks, out / "grpo"),
    }  # fmt: skip
