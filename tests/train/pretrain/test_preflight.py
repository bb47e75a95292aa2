"""What cannot be trained is refused before the model is built, and what would do is named."""

import pytest

from groundup.core import CapacityError, ConfigError, DataError, device, record
from groundup.tokenizer import open_shards
from groundup.train import DEFAULT_OPTIONS, OptimConfig, RuleConfig, pretrain
from groundup.train.parallel.mesh import SINGLE_PROCESS
from groundup.train.pretrain import preflight as preflights
from groundup.train.pretrain import stage
from groundup.train.pretrain.preflight import preflight
from tests.train.small import tiny_training, without_compiler


@pytest.fixture(autouse=True)
def no_model_is_built(monkeypatch):
    def built(*_):
        raise AssertionError("the model was built")

    monkeypatch.setattr(stage, "initial_model", built)


WRONG = [
    ({"optim": OptimConfig(rules=(RuleConfig(names="nowhere"),))}, "matches no weight"),
    ({"optim": OptimConfig(rules=(RuleConfig(names="("),))}, "not a regular expression"),
    ({"optim": OptimConfig(learning_rate=0, muon_learning_rate=0, embedding_learning_rate=0)},
     "Every learning rate is 0"),
    ({"optim": OptimConfig(warmup_steps=99)}, "must be fewer than the run's"),
    ({"micro_batches": 9}, "micro_batches=9 exceeds the 8 sequences"),
    ({"tokens": 256}, "do not fill one step"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "said"), WRONG)
def test_settings_that_cannot_be_are_refused_first(made, tmp_path, changes, said):
    with pytest.raises(ConfigError, match=said):
        pretrain(tiny_training(**changes), made.tokens, made.tokenizer, tmp_path / "run")


def test_tokens_without_held_out_text_are_refused_first(made):
    config, train = tiny_training(), open_shards(made.tokens, "train")
    empty = open_shards(made.tokens, "validation")._replace(shards=[])
    with pytest.raises(DataError, match="no validation split.*validation_share"):
        preflight(
            config, config.model_config_for(300), train, empty, SINGLE_PROCESS, DEFAULT_OPTIONS
        )


def test_fewer_rows_than_parts_in_some_steps_are_said(made, capsys):
    record.set_output_mode("plain")
    try:
        preflights._check_micro_batches(tiny_training(micro_batches=6), [8, 4])
    finally:
        record.set_output_mode("silent")
    assert "Some steps have only 4 sequences per process" in capsys.readouterr().err


@pytest.mark.slow
def test_a_step_that_has_no_room_is_refused_with_what_fits_unless_it_is_to_start(
    made, tmp_path, monkeypatch
):
    monkeypatch.setenv("GROUNDUP_COMPILE", "0")
    config = tiny_training(
        tokens=4_000_000, batch_tokens=2_000_000, context_length=64, precision="float32"
    )
    monkeypatch.setattr(device, "total_memory_bytes", lambda: 2**29)
    said = r"A step needs .*, of 5.* available; micro_batches="
    with pytest.raises(CapacityError, match=said) as why:
        pretrain(config, made.tokens, made.tokenizer, tmp_path / "run")
    fitting = int(str(why.value).split("micro_batches=")[1].split()[0])
    changed = tiny_training(**{**dict(config), "micro_batches": fitting})
    with pytest.raises(AssertionError, match="was built"):
        pretrain(changed, made.tokens, made.tokenizer, tmp_path / "run")
    with pytest.raises(AssertionError, match="was built"):
        beside = DEFAULT_OPTIONS._replace(ignore_memory=True)
        pretrain(config, made.tokens, made.tokenizer, tmp_path / "run", run_options=beside)


def test_a_small_run_is_started_without_a_trace(made, tmp_path, monkeypatch):
    monkeypatch.delattr(preflights, "PlannedStep")
    with without_compiler(), pytest.raises(AssertionError, match="was built"):
        pretrain(tiny_training(), made.tokens, made.tokenizer, tmp_path / "run")


@pytest.mark.parametrize("depth", [4, 6])
def test_a_depth_that_a_mesh_does_not_divide_names_those_that_it_does(depth):
    config = tiny_training(depth=depth)

    sizes = {"tensor": 2}
    with pytest.raises(ConfigError, match="kv_heads") as why:
        preflights._check_mesh(config, config.model_config_for(8192), sizes, 3)
    assert "of the default shapes it divides" in str(why.value) and "width=" in str(why.value)
    for word in str(why.value).replace(",", " ").replace(".", " ").split():
        if word.startswith("depth="):
            other = tiny_training(depth=int(word.removeprefix("depth=")))
            preflights._check_mesh(other, other.model_config_for(8192), sizes, 3)
