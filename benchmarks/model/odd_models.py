"""Odd random models of every family beside Transformers, and every key of config.json changed.

    PEER/bin/python -m benchmarks.model.odd_models --out runs/odd        # PEER has transformers
    ... --family llama gpt2 --seed 7 --cases 4 --only mutations
    ... --family llama olmo3 --rope dynamic

Written from Transformers' configuration classes and the public interface alone: a configuration is
drawn key by key from what its class declares, and drawn again if Transformers refuses it. All
weights are random, norms and biases too. Against Transformers in float32 with eager attention:

- logits: without padding, padded left and right, and a short text; an error is relative to the
  largest logit, or to 1 if that is smaller, and at most 1e-4, in float64 if float32 has more
- gradients of one case: the derivative of a random sum of logits along a random direction of each
  tensor of the file, in float64, which both sides get by loading the file moved and not
- cached decoding of our side in float64, batch of two, one padded: prefill, tokens, a chunk

A mutation changes, deletes or adds one key. It is equal; refused, by an error of one line that
names a key or a tensor; different, crashed or unclear. What Transformers refuses, or opens with
weights missing, has no right answer (`theirs`), but may not crash or be unclear here.

A table by family goes to stdout, what is bad to bad.json; --keep renews these
families in results/odd_models.json, from which docs/reference/models.md is made.
"""

import argparse
import datetime
import inspect
import json
import random
import re
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
import transformers
from safetensors.torch import load_file, save_file

from benchmarks.model.odd_configs import FAMILIES, Draw, draw_config, mutations
from groundup.core import GroundupError, write_json
from groundup.model import Cache, load, load_with_head

LIMIT, GRADIENT_LIMIT, CACHE_LIMIT = 1e-4, 1e-4, 1e-12
SECONDS = 60
RESULTS = Path(__file__).parents[1] / "results" / "odd_models.json"
TENSORS = 24
"""Tensors of one file whose gradients are compared."""
EAGER = {"attn_implementation": "eager", "experts_implementation": "eager"}
NAMED = re.compile(
    r"\w\.(weight|bias)\b|layers\.\d|[a-z](Config|Scaling)\b"
    "|config.json (has|describes a model)|heads do not divide|no (masked-LM )?head"
)
"""Tensors, fields of groundup's configuration, and what says in words which keys disagree."""
AUTO = {
    "decoder": transformers.AutoModelForCausalLM,
    "seq2seq": transformers.AutoModelForSeq2SeqLM,
    "masked": transformers.AutoModelForMaskedLM,
    "base": transformers.AutoModel,
    "sequence": transformers.AutoModelForSequenceClassification,
    "token": transformers.AutoModelForTokenClassification,
}


class Undefined(Exception):
    """What Transformers refuses, or opens with weights missing."""


class Inputs(NamedTuple):
    """One batch; `mask` is 1 for tokens. An encoder–decoder reads `ids` and writes `target`."""

    ids: torch.Tensor
    mask: torch.Tensor
    types: torch.Tensor
    target: torch.Tensor

    @property
    def positions(self) -> torch.Tensor:
        """Positions within the text, as `generate` counts them."""
        return (self.mask.cumsum(1) - 1).clamp(min=0)


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Raise TimeoutError if the body takes longer."""

    def stop(*_: object) -> None:
        raise TimeoutError(f"took more than {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def make_inputs(config: Any, draw: Draw, padding: str, length: int) -> Inputs:
    """Two random texts without special tokens; one is padded on this side."""
    seed = torch.Generator().manual_seed(draw.randrange(2**31))
    mask = torch.ones(2, length, dtype=torch.long)
    pads = {"left": slice(0, length // 3), "right": slice(length - length // 3, length)}
    if padding in pads:
        mask[1, pads[padding]] = 0
    pad = 1 if config.model_type == "mpnet" else config.pad_token_id or 0  # modeling_mpnet.py:60
    ids = torch.randint(10, config.vocab_size, (2, length), generator=seed)
    kinds = max(getattr(config, "type_vocab_size", 0) or 0, 1)
    types = torch.randint(kinds, (2, length), generator=seed) * mask
    target = torch.randint(10, config.vocab_size, (2, length), generator=seed)
    return Inputs(ids.masked_fill(mask == 0, pad), mask, types, target)


def attention_of(folder: Path) -> dict[str, str]:
    """Falcon's eager attention adds ALiBi twice, modeling_falcon.py:773 and :394; sdpa once."""
    family = json.loads((folder / "config.json").read_text()).get("model_type")
    return EAGER | ({"attn_implementation": "sdpa"} if family == "falcon" else {})


def is_dynamic(config: Any) -> bool:
    """Whether rotary positions depend on the tokens of a text, by a factor of 2 or more."""
    return "'dynamic'" in str(getattr(config, "rope_parameters", None))


def their_output(model: Any, kind: str, inputs: Inputs, positioned: bool) -> torch.Tensor:
    """Transformers' logits, or hidden states of a base model.

    Dynamic scaling takes the longest text of the batch or of the calls before, until one is
    shorter than the original length; so each text runs alone, after one of a token.
    """
    if not is_dynamic(model.config):
        return run_theirs(model, kind, inputs, positioned)
    rows = []
    for row in range(len(inputs.ids)):
        real = inputs.mask[row].nonzero()[:, 0]
        alone = Inputs(*(each[row : row + 1, real] for each in inputs))
        run_theirs(model, kind, Inputs(*(each[:, :1] for each in alone)), positioned)
        found = run_theirs(model, kind, alone, positioned)
        if kind != "sequence":
            whole = found.new_zeros(1, inputs.ids.shape[1], found.shape[-1])
            found = whole.index_copy(1, real, found)
        rows.append(found)
    return torch.cat(rows)


def run_theirs(model: Any, kind: str, inputs: Inputs, positioned: bool) -> torch.Tensor:
    """One pass of Transformers."""
    accepted = inspect.signature(model.forward).parameters
    given = {"input_ids": inputs.ids, "attention_mask": inputs.mask}
    if kind == "seq2seq":
        return model(**given, decoder_input_ids=inputs.target, use_cache=False).logits
    counts_itself = model.config.model_type in ("roberta", "xlm-roberta", "mpnet")
    if "position_ids" in accepted and positioned and not counts_itself:
        given["position_ids"] = inputs.positions
    if "token_type_ids" in accepted and getattr(model.config, "type_vocab_size", 0):
        given["token_type_ids"] = inputs.types
    found = model(**given, **({"use_cache": False} if "use_cache" in accepted else {}))
    return found.last_hidden_state if kind == "base" else found.logits


def our_output(model: Any, kind: str, inputs: Inputs, positioned: bool) -> torch.Tensor:
    """The same of groundup."""
    documents = inputs.mask - 1
    if kind == "seq2seq":
        encoded = model.encode(inputs.ids, documents=documents)
        return model.logits(inputs.target, encoded=encoded)
    if kind == "decoder":
        positions = inputs.positions if positioned else None
        return model.logits(inputs.ids, documents=documents, positions=positions)
    types = inputs.types if bool(inputs.types.any()) else None
    found = model(inputs.ids, documents=documents, types=types)
    return model.project(found) if kind == "masked" else found


def open_theirs(folder: Path, kind: str) -> Any:
    """Transformers' model of a folder; Undefined if it refuses or lacks weights."""
    try:
        model, found = AUTO[kind].from_pretrained(
            folder, **attention_of(folder), dtype=torch.float32, output_loading_info=True
        )
    except TimeoutError:
        raise
    except Exception as error:
        raise Undefined(f"{type(error).__name__}: {error}") from error
    if found["missing_keys"] or found["mismatched_keys"]:
        raise Undefined(f"weights missing: {sorted(found['missing_keys'])[:3]}")
    return model.eval()


def open_ours(folder: Path, kind: str, dtype: torch.dtype = torch.float32) -> Any:
    """groundup's model of a folder."""
    return (load_with_head if kind in ("sequence", "token") else load)(folder, dtype)


def randomise(model: Any, draw: Draw) -> None:
    """Random parameters and buffers: matrices by fan-in, norms about 1, biases about 0."""
    seed = torch.Generator().manual_seed(draw.randrange(2**31))
    gain = draw.choice([0.7, 1.0, 1.4])
    with torch.no_grad():
        for name, tensor in dict(model.state_dict()).items():
            if not tensor.is_floating_point():
                continue
            noise = torch.randn(tensor.shape, generator=seed)
            is_norm = "norm" in name.lower() or "ln_" in name
            if tensor.ndim > 1:
                noise *= gain / (1 if "embed" in name else tensor.shape[-1] ** 0.5)
            else:
                noise = 1 + 0.4 * noise if is_norm and "bias" not in name else 0.3 * noise
            tensor.copy_(noise)


class Case(NamedTuple):
    """A saved odd model; Transformers ran it."""

    folder: Path
    kind: str
    theirs: Any
    length: int


def make_case(family: str, draw: Draw, folder: Path) -> Case:
    """Draw until Transformers builds and runs a configuration of this family."""
    for _ in range(200):
        kind = draw.choice(FAMILIES[family].kinds)
        torch.manual_seed(0)
        try:
            config = draw_config(family, kind, draw)
            model = AUTO[kind].from_config(config, **EAGER).float().eval()
            longest = getattr(config, "max_position_embeddings", 40) * (1 + is_dynamic(config))
            length = min(longest - 8 if kind != "decoder" else longest, draw.randint(21, 37))
            randomise(model, draw)
            with torch.no_grad():
                their_output(model, kind, make_inputs(config, draw, "none", length), False)
        except Exception:  # whatever Transformers refuses by
            continue
        shutil.rmtree(folder, ignore_errors=True)
        model.save_pretrained(folder)
        return Case(folder, kind, open_theirs(folder, kind), length)
    raise RuntimeError(f"Transformers refused 200 configurations of {family}")


def relative(ours: torch.Tensor, theirs: torch.Tensor, mask: torch.Tensor | None = None) -> float:
    """Largest difference at real tokens, relative to the largest value or 1."""
    if theirs.shape == (*ours.shape, 1):  # one label is a number
        theirs = theirs[..., 0]
    if ours.shape != theirs.shape:
        return float("inf")
    if mask is not None and ours.ndim == 3:
        ours, theirs = ours[mask == 1], theirs[mask == 1]
    found = (ours - theirs).abs().max() / theirs.abs().max().clamp(min=1)
    return float("inf") if found.isnan() else found.item()


def can_pad_left(case: Case) -> bool:
    """Whether Transformers defines it.

    Classifiers of encoders read `hidden_states[:, 0]`, padding or not; learned positions of some
    count padding and cannot be given, and so do temperatures of Llama 4 (modeling_llama4.py:362);
    padding takes the places of Switch's experts.
    """
    kind, accepted = (
        case.theirs.config.model_type,
        inspect.signature(case.theirs.forward).parameters,
    )
    counts = kind in ("bart", "mbart", "distilbert") and "position_ids" not in accepted
    return not (counts or case.kind == "sequence" or kind in ("llama4_text", "switch_transformers"))


def logit_errors(ours: Any, case: Case, draw: Draw) -> dict[str, float]:
    """Differences by padding; the short text is within every window and original length."""
    errors = {}
    lengths = {"none": case.length, "left": case.length, "right": case.length, "short": 4}
    if not can_pad_left(case):
        del lengths["left"]
    for name, length in lengths.items():
        inputs = make_inputs(case.theirs.config, draw, name, length)
        mask = None if case.kind == "seq2seq" else inputs.mask
        positioned = name == "left"
        with torch.no_grad():
            found = [
                side(model, case.kind, inputs, positioned)
                for side, model in ((our_output, ours), (their_output, case.theirs))
            ]
        errors[name] = relative(*found, mask)
    return errors


def read_parameters(model: Any) -> dict[str, torch.Tensor]:
    """Parameters in float64, detached."""
    return {name: value.detach().double().clone() for name, value in model.named_parameters()}


def slopes_of(opened: Any, case: Case, inputs: Inputs, output: Any) -> dict[str, torch.Tensor]:
    """Gradients of a random sum of this model's outputs, by parameter."""
    opened.requires_grad_(True)
    found = output(opened, case.kind, inputs, True)
    seed = torch.Generator().manual_seed(1)
    (found * torch.randn(found.shape, generator=seed, dtype=torch.float64)).sum().backward()
    return {n: p.grad for n, p in opened.named_parameters() if p.grad is not None}


def gradient_errors(case: Case, draw: Draw) -> dict[str, float]:
    """Relative differences of derivatives along random directions of the file's tensors."""
    # With padding in float64 Transformers' softmax, in float32, is NaN where no key is visible.
    inputs = make_inputs(case.theirs.config, draw, "none", case.length)
    openers = (
        (our_output, lambda folder: open_ours(folder, case.kind, torch.float64)),
        (their_output, lambda folder: open_theirs(folder, case.kind).double()),
    )
    sides = []
    for output, opener in openers:
        opened = opener(case.folder)
        sides.append((opener, read_parameters(opened), slopes_of(opened, case, inputs, output)))
    total = sum(float(slope.square().sum()) for slope in sides[1][2].values()) ** 0.5
    weights = load_file(case.folder / "model.safetensors")
    moved_folder = case.folder.with_name("moved")
    shutil.copytree(case.folder, moved_folder, dirs_exist_ok=True)
    errors = {}
    names = [name for name, tensor in weights.items() if tensor.is_floating_point()]
    for name in draw.sample(names, min(len(names), TENSORS)):
        seed = torch.Generator().manual_seed(2)
        moved = weights[name] + torch.randn(weights[name].shape, generator=seed)
        save_file({**weights, name: moved}, moved_folder / "model.safetensors", {"format": "pt"})
        along = []
        for opener, start, slopes in sides:
            ends = read_parameters(opener(moved_folder))
            along.append(sum(float((slopes[n] * (ends[n] - start[n])).sum()) for n in slopes))
            is_trained = any(not torch.equal(ends[n], start[n]) for n in ends)
        if is_trained:  # no buffer of Transformers, the second of the two sides
            errors[name] = abs(along[0] - along[1]) / (abs(along[1]) + 1e-2 * total)
    return errors


def cache_error(case: Case, draw: Draw) -> float:
    """Decoding in pieces against the full pass, in float64."""
    model = open_ours(case.folder, case.kind, torch.float64)
    # The cache's capacity counts under dynamic scaling: it is the length of the longest text alone.
    padding = "none" if is_dynamic(case.theirs.config) else "left"
    inputs = make_inputs(case.theirs.config, draw, padding, case.length)
    third = case.length // 3
    pieces = [third + 3, *[1] * third, case.length - 2 * third - 3]
    cache = Cache(model.config, batch=2, capacity=case.length, dtype=torch.float64)
    with torch.no_grad():
        if case.kind == "seq2seq":
            encoded = model.encode(inputs.ids, documents=inputs.mask - 1)
            full = model.logits(inputs.target, encoded=encoded)
            parts = [
                model.logits(part, cache=cache, encoded=encoded)
                for part in inputs.target.split(pieces, 1)
            ]
            return relative(torch.cat(parts, 1), full)
        documents, positions = inputs.mask - 1, inputs.positions
        full = model.logits(inputs.ids, documents=documents, positions=positions)
        split = zip(*(t.split(pieces, 1) for t in (inputs.ids, documents, positions)), strict=True)
        parts = [
            model.logits(ids, documents=document, positions=position, cache=cache)
            for ids, document, position in split
        ]
    return relative(torch.cat(parts, 1), full, inputs.mask)


def is_clear(message: str, names: set[str]) -> bool:
    """Whether a refusal is one line that names a key, a tensor or a field, and no Python error."""
    is_line = "\n" not in message and len(message) <= 1000 and "Error:" not in message
    return is_line and (any(str(n) in message for n in names) or bool(NAMED.search(message)))


def all_keys(config: Any) -> set[str]:
    """Keys of a config.json and of the dictionaries in it."""
    if not isinstance(config, dict):
        return set()
    return set(config).union(*(all_keys(value) for value in config.values()))


def try_mutation(case: Case, changed: dict[str, Any], names: set[str]) -> tuple[str, str]:
    """Open a changed config.json on both sides; the outcome and its detail."""
    text = json.dumps(changed)
    (case.folder / "config.json").write_text(text)
    draw = random.Random(3)
    try:
        with at_most(SECONDS):
            theirs = open_theirs(case.folder, case.kind)
        by_length = "longrope" in text or "dynamic" in text
        padding = "left" if can_pad_left(case) and not by_length else "none"
        inputs = make_inputs(theirs.config, draw, padding, case.length)
        with torch.no_grad():
            expected = their_output(theirs, case.kind, inputs, True)
    except Exception as error:
        expected, reason = None, f"{error}"[:300]
        inputs = make_inputs(case.theirs.config, draw, "left", case.length)
    try:
        with at_most(SECONDS), torch.no_grad():
            ours = open_ours(case.folder, case.kind)
            found = our_output(ours, case.kind, inputs, True)
    except GroundupError as error:
        outcome = "refused" if is_clear(str(error), names) else "unclear"
        return outcome if expected is not None or outcome == "unclear" else "theirs", str(error)
    except Exception as error:
        return "crashed", f"{type(error).__name__}: {error}"[:500]
    if expected is None:
        return "theirs", reason
    error = relative(found, expected, None if case.kind == "seq2seq" else inputs.mask)
    return ("equal" if error <= LIMIT else "different"), f"{error:.1e}"


class Tally:
    """What was found of one family."""

    def __init__(self, family: str, seed: int) -> None:
        self.family, self.seed = family, seed
        self.worst = dict.fromkeys(("logits", "gradients", "cache"), 0.0)
        self.configs: Counter[str] = Counter()
        self.mutations: Counter[str] = Counter()
        self.bad: list[dict[str, Any]] = []

    def note(self, what: str, outcome: str, detail: str, **where: Any) -> None:
        """Keep one bad case."""
        seen = {"family": self.family, "seed": self.seed, "what": what, "outcome": outcome}
        self.bad.append({**seen, **where, "detail": detail})


def check_case(tally: Tally, case: Case, number: int, draw: Draw, *, is_first: bool) -> bool:
    """Logits of one odd model, gradients of the first, the cache of decoders; whether it opens."""
    config = json.loads((case.folder / "config.json").read_text())
    where: dict[str, Any] = {"case": number, "kind": case.kind, "config": config}
    try:
        with at_most(SECONDS):
            ours = open_ours(case.folder, case.kind)
            found = {"logits": logit_errors(ours, case, draw)}
            if max(found["logits"].values()) > LIMIT:  # T5's scores have no scale: is it rounding?
                exact = case._replace(theirs=open_theirs(case.folder, case.kind).double())
                ours = open_ours(case.folder, case.kind, torch.float64)
                found = {"logits": logit_errors(ours, exact, draw)}
            # Single tokens never exceed the capacity of Switch's experts, a full pass may.
            has_room = config.get("expert_capacity", case.length) >= case.length
            if case.kind in ("decoder", "seq2seq") and has_room:
                found["cache"] = {"pieces": cache_error(case, draw)}
            # In float64 their GPT-2 that computes scores in float32 fails.
            if is_first and not config.get("reorder_and_upcast_attn"):
                found["gradients"] = gradient_errors(case, draw)
    except GroundupError as error:
        tally.configs["refused"] += 1
        tally.note("config", "refused", str(error), **where)
        return False
    except Exception as error:
        tally.configs["crashed"] += 1
        tally.note("config", "crashed", f"{type(error).__name__}: {error}"[:500], **where)
        return False
    limits = {"logits": LIMIT, "gradients": GRADIENT_LIMIT, "cache": CACHE_LIMIT}
    bad = {
        what: {name: f"{error:.1e}" for name, error in errors.items() if not error <= limits[what]}
        for what, errors in found.items()
    }
    for what, errors in found.items():
        tally.worst[what] = max(tally.worst[what], *errors.values())
    is_equal = not any(bad.values())
    tally.configs["equal" if is_equal else "different"] += 1
    if not is_equal:
        tally.note("config", "different", json.dumps(bad), **where)
    return True


def check_mutations(tally: Tally, case: Case, number: int, draw: Draw) -> None:
    """Every key of one odd model changed, deleted and added."""
    text = (case.folder / "config.json").read_text()
    names = all_keys(json.loads(text)) | set(load_file(case.folder / "model.safetensors"))
    for change, changed in mutations(json.loads(text), draw):
        outcome, detail = try_mutation(case, changed, names | all_keys(changed))
        tally.mutations[outcome] += 1
        if outcome in ("different", "crashed", "unclear"):
            tally.note("mutation", outcome, detail, case=number, change=change, kind=case.kind)
    (case.folder / "config.json").write_text(text)


def check_family(family: str, given: argparse.Namespace) -> Tally:
    """Draw models until enough of them open; the first has its keys changed."""
    tally, opened = Tally(family, given.seed), 0
    for number in range(5 * given.cases):  # those that groundup refuses are drawn again
        draw = random.Random(f"{family} {given.seed} {number}")
        case = make_case(family, draw, given.out / family)
        opens = check_case(tally, case, number, draw, is_first=opened == 0)
        if opens and opened == 0 and given.only != "configs":
            check_mutations(tally, case, number, draw)
        opened += opens
        if opened == (1 if given.only == "mutations" else given.cases):
            break
    return tally


def main() -> int:
    """Check, print a line by family, write the bad cases; 1 if any is different or crashed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--family", nargs="+", default=list(FAMILIES))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--cases", type=int, default=16)
    parser.add_argument("--only", choices=["configs", "mutations"])
    parser.add_argument("--rope", help="the only scaling of rotary positions, such as dynamic")
    parser.add_argument("--out", type=Path, default=Path("runs/odd"))
    parser.add_argument("--keep", action="store_true", help="renew these families' results")
    given = parser.parse_args()
    transformers.logging.set_verbosity(transformers.logging.CRITICAL)
    transformers.logging.disable_progress_bar()
    given.out.mkdir(parents=True, exist_ok=True)
    if given.rope:
        FAMILIES.update({n: f._replace(ropes=(given.rope,)) for n, f in FAMILIES.items()})
    columns = ("equal", "refused", "theirs", "different", "crashed", "unclear")
    print(f"{'family':20} {'odd models':>28} {'logits':>8} {'gradient':>8} {'cache':>8} ", *columns)
    bad, kept = [], {}
    for family in given.family:
        began, tally = time.perf_counter(), check_family(family, given)
        odd = ", ".join(f"{count} {outcome}" for outcome, count in tally.configs.items())
        cells = [f"{family:20} {odd:>28}", *(f"{error:8.0e}" for error in tally.worst.values()), ""]
        cells += [f"{tally.mutations[name]:{len(name)}}" for name in columns]
        print(*cells, f"{time.perf_counter() - began:5.0f} s", flush=True)
        bad += tally.bad
        counted = {"configs": dict(tally.configs), "mutations": dict(tally.mutations)}
        kept[family] = {**counted, "worst": tally.worst}
        (given.out / "bad.json").write_text(json.dumps(bad, indent=1))
    if given.keep:
        date = datetime.date.today().isoformat()
        about = {"date": date, "version": transformers.__version__, "seed": given.seed}
        before = json.loads(RESULTS.read_text())["families"] if RESULTS.is_file() else {}
        write_json(RESULTS, {"rows": [], **about, "families": before | kept})
    return int(any(case["outcome"] in ("different", "crashed") for case in bad))


if __name__ == "__main__":
    sys.exit(main())
