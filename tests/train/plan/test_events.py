"""What is taken and given back is counted by storage, once."""

import torch

from groundup.train.plan.events import Event, Recorder, peak


def test_views_are_free_and_what_is_dropped_is_given_back():
    with Recorder() as recorder:
        whole = torch.zeros(1024)
        half = whole[:512].view(2, 256)
        del whole
        assert [event.size_bytes for event in recorder.events] == [4096]
        del half
    assert recorder.events == [Event(0, 4096), Event(0, -4096)]


def test_the_peak_is_told_by_part():
    with Recorder() as recorder:
        with recorder.making("small"):
            kept = torch.zeros(16)
        with recorder.making("large"):
            torch.zeros(1024)
        late = torch.zeros(32)
    found = peak(recorder)
    assert (found.total_bytes, found.parts) == (4096 + 64, {"small": 64, "large": 4096})
    assert peak(recorder, start=3).parts == {"small": 64, "other": 128}
    assert len(kept) + len(late) == 48


def test_a_storage_is_named_after_the_fact():
    with Recorder() as recorder:
        made = torch.zeros(8)
        recorder.name(made, "gradients")
    assert peak(recorder).parts == {"gradients": 32}
