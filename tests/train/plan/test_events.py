"""What is taken and given back is counted by storage, once."""

import torch

from groundup.train.plan.events import MemoryEvent, MemoryRecorder, memory_peak


def test_views_are_free_and_what_is_dropped_is_given_back():
    with MemoryRecorder() as recorder:
        whole = torch.zeros(1024)
        half = whole[:512].view(2, 256)
        del whole
        assert [event.size_bytes for event in recorder.events] == [4096]
        del half
    assert recorder.events == [MemoryEvent(0, 4096), MemoryEvent(0, -4096)]


def test_the_peak_is_told_by_part():
    with MemoryRecorder() as recorder:
        with recorder.allocating("small"):
            kept = torch.zeros(16)
        with recorder.allocating("large"):
            torch.zeros(1024)
        late = torch.zeros(32)
    found = memory_peak(recorder)
    assert (found.total_bytes, found.by_category) == (4096 + 64, {"small": 64, "large": 4096})
    assert memory_peak(recorder, start=3).by_category == {"small": 64, "other": 128}
    assert len(kept) + len(late) == 48


def test_a_storage_is_named_after_the_fact():
    with MemoryRecorder() as recorder:
        made = torch.zeros(8)
        recorder.set_category(made, "gradients")
    assert memory_peak(recorder).by_category == {"gradients": 32}
