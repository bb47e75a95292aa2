"""A plan says what fits, and what to change when it does not."""

import pytest

from groundup.core import ConfigError
from groundup.model import from_depth
from groundup.train import PlanConfig, plan
from groundup.train.plan import stage
from groundup.train.plan.stage import _parse_memory_size
from groundup.train.plan.step import StepWork


def with_imports(megabytes: int) -> str:
    """A size beyond what every process holds."""
    imports = stage.trace_step(from_depth(1, 8192, 2048).config, StepWork()).imports
    return f"{megabytes + round(imports / 1e6)}MB"


EAGER = PlanConfig(rows=2, length=64, compiled=False)


@pytest.fixture
def without_search(monkeypatch):
    """Plans that do not look for the largest micro-batch, which takes most of their traces."""
    monkeypatch.setattr(stage, "_max_sequences", lambda asked, room: 0)


def test_a_plan_adds_up_and_names_the_largest_micro_batch():
    memory = with_imports(300)
    found = plan(EAGER, "1", memory=memory, on="cpu")
    assert found.fits and not found.ways and found.rows_that_fit >= 2
    assert found.ranks[0]["imports"] > 100e6
    assert found.total_bytes == sum(found.ranks[0].values()) <= _parse_memory_size(memory)
    more = plan(
        PlanConfig(rows=found.rows_that_fit + 2, length=64, compiled=False), "1", memory=memory,
        on="cpu",
    )  # fmt: skip
    assert not more.fits and abs(more.rows_that_fit - found.rows_that_fit) <= 1
    assert "It fits" in str(found) and "optimizer states" in str(found)
    assert "rows=1 micro_batches" in str(more).splitlines()[-1]
    nothing = str(more._replace(memory_bytes=2**20))
    assert "of 0.000977 GiB" in nothing and "No change makes it fit" in nothing


def test_ways_come_one_on_top_of_the_other_until_it_fits(without_search):
    wanted = PlanConfig(rows=1, length=1024, compiled=False, precision="float32")
    found = plan(wanted, "2", memory=with_imports(165), devices=2, mesh="data=2", on="cpu")
    totals = [way.total_bytes for way in found.ways]
    assert not found.fits and len(totals) > 1
    assert totals == sorted(totals, reverse=True) and totals[0] < found.total_bytes


def test_a_pipeline_is_told_stage_by_stage(without_search):
    found = plan(EAGER, "4", memory="1GB", devices=2, mesh="pipeline=2", on="cuda")
    assert len(found.ranks) == 2 and "stage 1" in str(found) and found.device == "cuda"


@pytest.mark.parametrize(
    "text, size", [("24GB", 24_000_000_000), ("16GiB", 2**34), ("512 mb", 512_000_000)]
)
def test_sizes_are_read(text, size):
    assert _parse_memory_size(text) == size


@pytest.mark.parametrize("text", ["24", "lots", "0GB", "-1GB", "24GX"])
def test_a_size_that_is_none_is_told(text):
    with pytest.raises(ConfigError, match="such as 24GB"):
        _parse_memory_size(text)


WRONG = [
    ("0", {}, "depth of at least 1"),
    ("gpt-9", {}, "gpt-2"),
    ("2", {"devices": 3, "mesh": "pipeline=3"}, "at most"),
    ("2", {"devices": 2, "mesh": "data=4"}, "make them equal"),
    ("2", {"mesh": "tensor=64"}, "does not divide among mesh dimension tensor=64"),
    ("2", {"devices": 0}, "devices=0 must be 1 or more"),
    ("2", {"devices": 3, "mesh": "tensor=3"}, "does not divide among mesh dimension tensor=3"),
    ("2", {"devices": 2, "mesh": "expert=2"}, "this model is dense; use data"),
    ("2", {"devices": 4, "mesh": "pipeline=2,shard=2"}, "not with shard; omit one of them"),
    ("t5-tiny", {"devices": 2, "mesh": "context=2"}, "'encoder_decoder': use data or shard"),
    ("2", {"devices": 8, "mesh": "data=2,shard=2,context=2"}, "omit data, or use zero=1"),
]


@pytest.mark.parametrize("model, more, said", WRONG)
def test_what_makes_no_sense_is_told_before_anything_is_traced(model, more, said):
    with pytest.raises(ConfigError, match=said):
        plan(EAGER, model, memory="1GB", **more)


def test_row_counts_that_no_device_holds_are_refused():
    with pytest.raises(ConfigError, match="PlanConfig.rows.*less than or equal to 65536"):
        PlanConfig(rows=10**12)


def test_no_way_leads_to_a_mesh_that_pre_training_refuses(without_search):
    wanted = PlanConfig(rows=1, length=64, compiled=False, recompute="all")
    found = plan(wanted, "2", memory="1MB", devices=4, mesh="data=2, pipeline=2", on="cpu")
    assert not found.fits and not any("shard" in way.change for way in found.ways)


def test_a_run_s_settings_are_planned_as_pre_training_takes_them(without_search):
    run = {"depth": 1, "batch_tokens": 2048, "length": 64, "context_length": 256}
    found = plan(
        PlanConfig(**run, compiled=False, precision="float32"), memory=with_imports(400), on="cpu"
    )
    assert found.work.startswith("1 x 8 rows of 256 tokens, float32") and found.model == "depth 1"
    parts = plan(
        PlanConfig(**run, micro_batches=4, compiled=False), memory=with_imports(400), on="cpu"
    )
    assert parts.work.startswith("4 x 2 rows of 256 tokens")
    assert parts.total_bytes < found.total_bytes
    shared = plan(
        PlanConfig(**run, compiled=False), memory=with_imports(400), mesh="data=4", on="cpu"
    )
    assert shared.work.startswith("1 x 2 rows of 256 tokens")


def test_few_numbers_of_rows_are_traced(monkeypatch):
    memory, rows, traced = with_imports(200), set(), stage.trace_step

    def noting(model, work):
        rows.add(work.rows)
        return traced(model, work)

    monkeypatch.setattr(stage, "trace_step", noting)
    wanted = PlanConfig(rows=8, length=64, compiled=False)
    found = plan(wanted, "1", memory=memory, on="cpu")
    assert {found.rows_that_fit, found.rows_that_fit + 1} <= rows
    assert len(rows) <= 6 and not rows & {1, 2}  # the step asked for says where to look
