"""The samples in work: filled in order, the best pair kept, saved and restored."""

import pytest
import torch

from equidiff_cli.engine.slots import Slots
from equidiff_cli.parts.optimizers import SGD, Adam
from equidiff_cli.prior.prior import sample_seed

CPU = torch.device("cpu")
ADAM = Adam(0.1, (0.9, 0.99), 1e-8)


def noise(seed):
    return torch.full((2, 1, 1), float(seed))


def filled(count=5, size=3, init=ADAM.init):
    slots = Slots([(index, 10 + index) for index in range(count)], size, CPU)
    slots.fill(noise, init)
    assert len(slots.index) == min(count, size)
    return slots


def go_on(slots, losses, **measured):
    """One step after which every sample goes on; latents and state stay."""
    going = torch.ones(len(losses), dtype=torch.bool)
    return slots.advance({"loss": torch.tensor(losses), **measured}, slots.z0, slots.state, going)


def test_slots_are_filled_in_order_and_refilled_at_the_end():
    slots = filled()
    state = {name: value + 1 for name, value in slots.state.items()}
    measured = {"loss": torch.tensor([3.0, 2.0, 1.0])}
    left = slots.advance(measured, slots.z0 + 0.5, state, torch.tensor([True, False, True]))
    assert [slot for slot, *_ in left] == [1] and slots.index.tolist() == [0, 2]
    slots.fill(noise, ADAM.init)
    assert slots.index.tolist() == [0, 2, 3] and list(slots.waiting) == [(4, 14)]
    assert slots.steps.tolist() == [1, 1, 0]
    assert slots.z0[:, 0, 0, 0].tolist() == [10.5, 12.5, 13.0]
    fresh = ADAM.init(slots.z0)
    for name, value in slots.state.items():
        assert torch.equal(value[:2], fresh[name][:2] + 1) and torch.equal(value[2:], fresh[name][2:]), name
    assert slots.best["loss"][:2].tolist() == [3.0, 1.0]
    go_on(slots, [4.0, 0.5, float("inf")])
    assert slots.best["loss"].tolist() == [3.0, 0.5, float("inf")], "whatever a new sample measures first is its best"


def test_the_best_of_each_sample_is_kept_with_what_belongs_to_it():
    slots = filled()
    for losses in ([3.0, 2.0, 1.0], [1.0, 5.0, 1.0], [2.0, 1.5, float("nan")]):
        go_on(slots, losses, picture=torch.tensor(losses)[:, None, None] * torch.ones(3, 2, 2), step=slots.steps + 1)
    assert slots.best["loss"].tolist() == [1.0, 1.5, 1.0]
    assert slots.best["step"].tolist() == [2, 3, 1], "the first of equals"
    assert slots.best["picture"][:, 1, 1].tolist() == [1.0, 1.5, 1.0]
    assert slots.steps.tolist() == [3, 3, 3]


def test_a_sample_that_starts_broken_still_has_a_picture():
    slots = filled(2, 2)
    go_on(slots, [float("nan"), float("inf")], picture=torch.tensor([[7.0], [8.0]]))
    assert slots.best["picture"].flatten().tolist() == [7.0, 8.0]


def test_what_is_recorded_holds_no_graph():
    slots = filled(2, 2)
    x = torch.ones(2, requires_grad=True)
    slots.advance({"loss": x * 2}, slots.z0, slots.state, torch.ones(2, dtype=torch.bool))
    assert not slots.best["loss"].requires_grad


def test_time_is_counted_for_the_samples_in_work_only(monkeypatch):
    ticks = iter([0.0, 100.0, 103.0, 200.0, 204.0])  # made, filled, advanced, filled, advanced
    monkeypatch.setattr("equidiff_cli.engine.slots.time.perf_counter", lambda: next(ticks))
    slots = filled(3, 2)
    loss = {"loss": torch.ones(2)}
    ((_, _, seconds),) = slots.advance(loss, slots.z0, slots.state, torch.tensor([False, True]))
    assert seconds == 3
    slots.fill(noise, ADAM.init)
    left = slots.advance(loss, slots.z0, slots.state, torch.tensor([False, False]))
    assert [seconds for *_, seconds in left] == [7, 4]


@pytest.mark.parametrize("optimizer", [ADAM, SGD(0.1, 0.0, False)], ids=["adam", "stateless"])
@pytest.mark.parametrize("going", [[True, False, True], [False, False, False]])
def test_saved_slots_come_back(optimizer, going):
    slots = filled(init=optimizer.init)
    measured = {"loss": torch.tensor([3.0, 2.0, 1.0]), "picture": torch.rand(3, 3, 2, 2)}
    z0, state = optimizer.step(slots.z0, torch.ones_like(slots.z0), slots.state)
    slots.advance(measured, z0, state, torch.tensor(going))
    tensors, facts = slots.save()
    again = Slots([(9, 9)], facts["size"], CPU)
    again.restore({name: value.clone() for name, value in tensors.items()}, facts)
    for both in (slots, again):
        both.fill(noise, optimizer.init)
    assert again.waiting == slots.waiting
    mine, theirs = again.save()[0], slots.save()[0]
    assert mine.keys() == theirs.keys()
    for name, value in mine.items():
        torch.testing.assert_close(value, theirs[name], rtol=0, atol=0, equal_nan=True, msg=name)


def test_slots_that_were_never_filled_come_back():
    slots, again = Slots([(0, 10), (1, 11)], 2, CPU), Slots([], 2, CPU)
    again.restore(*slots.save())
    assert again.unfinished
    again.fill(noise, ADAM.init)
    assert again.index.tolist() == [0, 1] and again.z0[:, 0, 0, 0].tolist() == [10.0, 11.0]


class NoMemory:
    """A tensor that cannot be copied any more."""

    def __getitem__(self, _):
        raise MemoryError


def test_a_failure_while_filling_or_advancing_changes_nothing(monkeypatch):
    slots = filled()
    go_on(slots, [3.0, 2.0, 1.0])
    clock, (before, facts) = slots.clock, slots.save()
    with pytest.raises(MemoryError):
        going = torch.tensor([True, False, True])
        slots.advance({"loss": torch.zeros(3)}, slots.z0 + 1, {"mean": NoMemory()}, going)

    for k in range(6):
        slots.size, calls = 4, iter(range(100))
        monkeypatch.setattr(torch, "cat", lambda *a, k=k, calls=calls, cat=torch.cat: fail_at(k, calls) or cat(*a))
        with pytest.raises(MemoryError):
            slots.fill(noise, ADAM.init)
        monkeypatch.undo()
    slots.size = 3
    after, again = slots.save()
    assert slots.clock == clock and again == facts and after.keys() == before.keys()
    assert all(torch.equal(after[name], before[name]) for name in before)


def fail_at(k, calls):
    if next(calls) == k:
        raise MemoryError


def test_a_sample_without_progress_starts_again_from_other_noise_of_its_own():
    slots = filled(2, 2)
    for losses in ([1.0, 1.0], [0.95, 0.5], [0.91, 0.2], [0.93, 0.1]):  # the first never falls by a tenth
        slots.fill(noise, ADAM.init, patience=3)
        go_on(slots, losses, picture=torch.tensor(losses))
    assert slots.stale.tolist() == [3, 0] and slots.restarts.tolist() == [0, 0]
    state = {name: value + 1 for name, value in slots.state.items()}
    slots.state = state
    slots.fill(noise, ADAM.init, patience=3)
    assert slots.restarts.tolist() == [1, 0] and slots.steps.tolist() == [4, 4]
    assert slots.z0[:, 0, 0, 0].tolist() == [float(torch.tensor(float(sample_seed(10, 1)))), 11.0]
    for name, fresh in ADAM.init(slots.z0).items():
        assert torch.equal(slots.state[name][0], fresh[0]) and torch.equal(slots.state[name][1], fresh[1] + 1), name
    go_on(slots, [2.0, 0.1], picture=torch.tensor([2.0, 0.1]))
    assert slots.best["picture"].tolist() == [pytest.approx(0.91), pytest.approx(0.1)], "the best of all starts"
    assert slots.stale.tolist() == [0, 1], "whatever a fresh start measures first is progress"
    again = Slots([], 2, CPU)
    again.restore(*slots.save())
    for both in (slots, again):
        for _ in range(3):
            both.fill(noise, ADAM.init, patience=3)
            go_on(both, [2.0, 0.1], picture=torch.tensor([2.0, 0.1]))
        both.fill(noise, ADAM.init, patience=3)
    assert slots.restarts.tolist() == again.restarts.tolist() == [2, 1]
    assert torch.equal(slots.z0, again.z0)


def test_nothing_left():
    slots = filled(1, 3)
    slots.advance({"loss": torch.ones(1)}, slots.z0, slots.state, torch.tensor([False]))
    assert not slots.unfinished
    slots.fill(noise, ADAM.init)
    assert not len(slots.index)


def test_more_slots_than_before_are_filled():
    slots = filled(count=5, size=1)
    again = Slots([], 4, CPU)
    again.restore(*slots.save())
    again.fill(noise, ADAM.init)
    assert again.index.tolist() == [0, 1, 2, 3]
