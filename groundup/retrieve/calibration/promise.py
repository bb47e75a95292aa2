"""What was promised of an index: at most so many of its answers are wrong, above which score.

    out/calibration.json        written by `groundup calibrate`
    out/ledger/verdicts.jsonl   what people said of answers, right or wrong

Read without numpy, because `groundup ask --risk` reads it. A promise is of one snapshot and of one
reader. Verdicts on answers under a promise are a sequence that may be looked at after each one
(groundup.measure.RateConfidenceSequence): once it excludes the promised risk, the promise is
withdrawn until the index is calibrated again.
"""

import json
import re
from pathlib import Path
from typing import Any, NamedTuple

from groundup.core import ArtifactError, ConfigError, Judgement, Ledger, user_name, write_json

CALIBRATION, VERDICTS = "calibration.json", "ledger/verdicts.jsonl"
CONFIDENCE = 0.95


class Dial(NamedTuple):
    """The score from which an index answers, so that at most a share of the answers is wrong."""

    risk: float
    threshold: float
    by: str
    """Whose score it is: reader (log-odds) or words."""


def parse_risk(text: str) -> float:
    """A share of wrong answers: "5%" or "0.05"; ConfigError unless it lies between 0 and 1.

    >>> parse_risk("5 %")
    0.05
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?|\.\d+)\s*(%?)\s*", text)
    risk = float(match[1]) / (100 if match[2] else 1) if match else 0.0
    if not 0 < risk < 1:
        raise ConfigError(f"--risk is a share of the answers, such as 5% or 0.05; got {text!r}.")
    return risk


def read_calibration(out: Path) -> dict[str, Any]:
    """What `groundup calibrate` wrote.

    Raises ConfigError if the index is not calibrated, ArtifactError if the file is damaged.
    """
    path = out / CALIBRATION
    if not path.is_file():
        raise ConfigError(f"{out} is not calibrated; run: groundup calibrate {out}")
    try:
        found = json.loads(path.read_bytes())
        [(float(a), float(b)) for a, b, *_ in found["promises"]]
        return {"withdrawn": "", **found, "by": str(found["by"]), "index": str(found["index"])}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ArtifactError(
            f"{path} is damaged ({type(error).__name__}: {error}); run: groundup calibrate {out}"
        ) from None


def read_dial(out: Path, index_id: str, risk: float) -> Dial:
    """The score from which a risk holds.

    Raises ConfigError if it was withdrawn, cannot be promised, or is of other documents.
    """
    found, again = read_calibration(out), f"run: groundup calibrate {out}"
    if found["index"] != index_id:
        raise ConfigError(f"{out} was calibrated before its documents changed; {again}")
    if found["withdrawn"]:
        raise ConfigError(f"No promise is left for {out}: {found['withdrawn']}; {again}")
    possible = [(at_most, threshold) for at_most, threshold, *_ in found["promises"]]
    kept = [threshold for at_most, threshold in possible if at_most <= risk + 1e-9]
    if not kept:
        least = min((at_most for at_most, _ in possible), default=None)
        other = f"{least:.0%} can" if least else "no other can either"
        raise ConfigError(
            f"A risk of {risk:.1%} cannot be promised on {found['questions']} questions; {other}. "
            f"Questions of your own help: groundup calibrate {out} --questions FILE"
        )
    return Dial(risk, min(kept), found["by"])


def record_verdict(out: Path, question: str, quote: str, is_right: bool, risk: float | None) -> str:
    """Keep what somebody said of an answer; what became of the promise, in words.

    quote  the first of the answer
    risk   what was promised of it, if anything was

    Raises ConfigError if it cannot be kept.
    """
    value = "right" if is_right else "wrong"
    vote = Judgement(user_name(), "", question, "label", value)._asdict()
    try:
        Ledger(out / VERDICTS).append(vote | {"quote": quote, "promised": risk})
        return "kept" if risk is None else _withdraw_if_broken(out, risk)
    except OSError as error:
        raise ConfigError(f"The verdict cannot be kept in {out}: {error.strerror}.") from None


def read_verdicts(out: Path) -> list[dict[str, Any]]:
    """Every verdict, the last on a question and its quote alone, in the order of writing."""
    last = {(each.content["subject"], each.content["quote"]): each.content | {"when": each.when}
            for each in Ledger(out / VERDICTS).read()}  # fmt: skip
    return sorted(last.values(), key=lambda each: each["when"])


def _withdraw_if_broken(out: Path, risk: float) -> str:
    """What became of the promise of a risk, by the verdicts on the answers that had it."""
    from groundup.measure import RateConfidenceSequence  # imports numpy

    found = read_calibration(out)
    since = (each for each in read_verdicts(out) if each["when"] >= found["made"])
    wrong = [float(each["value"] == "wrong") for each in since if each["promised"] == risk]
    seen = RateConfidenceSequence(2 * CONFIDENCE - 1).update(wrong)
    if seen.low <= risk:
        return f"kept; of {len(wrong)} answers under the promise {sum(wrong):.0f} were wrong"
    found["withdrawn"] = (
        f"{sum(wrong):.0f} of {len(wrong)} answers were wrong, at least {seen.low:.1%} of all"
    )
    write_json(out / CALIBRATION, found)
    return f"kept; the promise of {risk:.0%} is withdrawn: {found['withdrawn']}"
