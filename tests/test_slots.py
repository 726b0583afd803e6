"""The samples in work: filled in order, the best pair kept, saved and restored."""

import pytest
import torch

from equidiff_cli.optim import SGD, Adam
from equidiff_cli.slots import Slots

CPU = torch.device("cpu")
ADAM = Adam(0.1, (0.9, 0.99), 1e-8)


def noise(seed):
    return torch.full((2, 1, 1), float(seed))


def filled(count=5, size=3, init=ADAM.init):
    slots = Slots([(index, 10 + index) for index in range(count)], size, CPU)
    assert slots.fill(noise, init) == min(count, size)
    return slots


def test_slots_are_filled_in_order_and_refilled_at_the_end():
    slots = filled()
    slots.record(loss=torch.tensor([3.0, 2.0, 1.0]))
    state = {name: value + 1 for name, value in slots.state.items()}
    left = slots.advance(slots.z0 + 0.5, state, torch.tensor([True, False, True]))
    assert [slot for slot, *_ in left] == [1] and slots.index.tolist() == [0, 2]
    assert slots.fill(noise, ADAM.init) == 3
    assert slots.index.tolist() == [0, 2, 3] and list(slots.waiting) == [(4, 14)]
    assert slots.steps.tolist() == [1, 1, 0]
    assert slots.z0[:, 0, 0, 0].tolist() == [10.5, 12.5, 13.0]
    fresh = ADAM.init(slots.z0)
    for name, value in slots.state.items():
        assert torch.equal(value[:2], fresh[name][:2] + 1) and torch.equal(value[2:], fresh[name][2:]), name
    assert slots.best["loss"].tolist() == [3.0, 1.0, float("inf")]


def test_the_best_of_each_sample_is_kept_with_what_belongs_to_it():
    slots = filled()
    for losses in ([3.0, 2.0, 1.0], [1.0, 5.0, 1.0], [2.0, 1.5, float("nan")]):
        loss = torch.tensor(losses)
        slots.record(loss=loss, picture=loss[:, None, None] * torch.ones(3, 2, 2), step=slots.steps + 1)
    assert slots.best["loss"].tolist() == [1.0, 1.5, 1.0]
    assert slots.best["step"].tolist() == [2, 3, 1], "the first of equals"
    assert slots.best["picture"][:, 1, 1].tolist() == [1.0, 1.5, 1.0]
    assert slots.steps.tolist() == [3, 3, 3]


def test_a_sample_that_starts_broken_still_has_a_picture():
    slots = filled(2, 2)
    slots.record(loss=torch.tensor([float("nan"), float("inf")]), picture=torch.tensor([[7.0], [8.0]]))
    assert slots.best["picture"].flatten().tolist() == [7.0, 8.0]


def test_what_is_recorded_holds_no_graph():
    slots = filled(2, 2)
    x = torch.ones(2, requires_grad=True)
    slots.record(loss=x * 2)
    assert not slots.best["loss"].requires_grad


def test_time_is_counted_for_the_samples_in_work_only(monkeypatch):
    ticks = iter([0.0, 100.0, 103.0, 200.0, 204.0])  # made, filled, advanced, filled, advanced
    monkeypatch.setattr("equidiff_cli.slots.time.perf_counter", lambda: next(ticks))
    slots = filled(3, 2)
    slots.record(loss=torch.ones(2))
    ((_, _, seconds),) = slots.advance(slots.z0, slots.state, torch.tensor([False, True]))
    assert seconds == 3
    slots.fill(noise, ADAM.init)
    slots.record(loss=torch.ones(2))
    left = slots.advance(slots.z0, slots.state, torch.tensor([False, False]))
    assert [seconds for *_, seconds in left] == [7, 4]


@pytest.mark.parametrize("optimizer", [ADAM, SGD(0.1, 0.0, False)], ids=["adam", "stateless"])
@pytest.mark.parametrize("going", [[True, False, True], [False, False, False]])
def test_saved_slots_come_back(optimizer, going):
    slots = filled(init=optimizer.init)
    slots.record(loss=torch.tensor([3.0, 2.0, 1.0]), picture=torch.rand(3, 3, 2, 2))
    z0, state = optimizer.step(slots.z0, torch.ones_like(slots.z0), slots.state)
    slots.advance(z0, state, torch.tensor(going))
    tensors, facts = slots.save()
    again = Slots([(9, 9)], 3, CPU)
    again.restore({name: value.clone() for name, value in tensors.items()}, facts)
    for both in (slots, again):
        both.fill(noise, optimizer.init)
    assert again.waiting == slots.waiting
    mine, theirs = again.save()[0], slots.save()[0]
    assert mine.keys() == theirs.keys()
    for name, value in mine.items():
        assert torch.equal(value, theirs[name]) and value.dtype == theirs[name].dtype, name


def test_nothing_left():
    slots = filled(1, 3)
    slots.record(loss=torch.ones(1))
    slots.advance(slots.z0, slots.state, torch.tensor([False]))
    assert slots.fill(noise, ADAM.init) == 0
