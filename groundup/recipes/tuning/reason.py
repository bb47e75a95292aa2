"""Chains of thought, rewarded for their outcome, for their steps, and for both.

    base ─ worked examples ─ tuned ┬ outcome   the last number is right
                                   ├ steps     the share of its equations that hold
                                   └ both

The task is that of the recipe `align`, answered in three equations, one a line, of which the last
one has the answer. Rewarded alone, true equations need not lead to an answer: what is watched is
the outcome. All three take the same number of samples.
"""

from pathlib import Path

from groundup.align import RewardConfig, read_tasks, reinforce
from groundup.core import Config, Draft, produce

from .policies import (
    MAX_TOKENS,
    SumsConfig,
    measure_policies,
    policy_config,
    rewards_chart,
    tune_for_sums,
    write_comparison,
)

TASK = SumsConfig()
REWARDS = {
    "outcome": RewardConfig(number=1),
    "steps": RewardConfig(number=0, equations=1),
    "both": RewardConfig(number=1, equations=1),
}
METHODS = {
    "outcome": "right answers",
    "steps": "equations that hold",
    "both": "right answers and equations that hold",
}


def reason(
    *,
    base: Path = Path("runs/tiny/base"),
    tokens: Path = Path("runs/tiny/tokens"),
    out: Path = Path("runs/reason"),
    steps: int = 60,
    seed: int = 0,
) -> str:
    """Tune a base model on worked examples, and reward its outcome, its steps, or both.

    base    a base model, such as the demo's
    tokens  its tokens, on whose held-out text its knowledge is measured; left out if missing
    out     folder of the artifacts; an existing run is resumed
    steps   updates of each training
    seed    of the task, and of every training
    """
    policy_config(steps, seed)  # refuses what it cannot be before anything is trained
    files, tuned, text, bits = tune_for_sums(base, tokens, out, TASK, seed)
    models = {"tuned": tuned} | {
        name: reinforce(policy_config(steps, seed, rewards), tuned, files.tasks, out / name)
        for name, rewards in REWARDS.items()
    }

    def write(draft: Draft) -> None:
        found = measure_policies(
            models, read_tasks(files.test), text, out / "evaluations", max_tokens=MAX_TOKENS,
            seed=seed,
        )  # fmt: skip
        charts = rewards_chart({name: models[name] for name in METHODS})
        lead = "Each in its own unit: outcome and steps give at most 1, both 2."
        sections = [("Rewards in training", lead, charts)]
        write_comparison(draft, "Thinking in steps: what to reward", METHODS, found, sections, bits)

    report = produce(
        out / "report", kind="report", stage="reason-report", version=1,
        config=Config(), parents=models, write=write,
    )  # fmt: skip
    return f"Done; the report is {report.path / 'report.html'}"
