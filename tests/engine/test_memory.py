"""Memory that runs out: what counts as that, what is tried next, and that no result notices."""

import resource

import pytest
import torch

from equidiff_cli.engine.memory import Memory, exhausted
from equidiff_cli.engine.plan import Plan
from equidiff_cli.engine.slots import Slots
from equidiff_cli.errors import Exhausted
from equidiff_cli.methods.events import Finished, Step
from equidiff_cli.methods.latent import Latent
from equidiff_cli.parts import distances, filters, optimizers
from equidiff_cli.parts.questions import Invariance
from equidiff_cli.prior.prior import sample_seed

SEEDS = [(i, sample_seed(3, i)) for i in range(5)]
CPU_WORDS = "[enforce fail at alloc_cpu.cpp:117] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to"
ERRORS = {
    "device": torch.OutOfMemoryError("CUDA out of memory."),
    "main": RuntimeError(CPU_WORDS),
    "python": MemoryError(),
}


@pytest.fixture
def prior(tiny_prior):
    yield tiny_prior
    tiny_prior.decoder.disable_gradient_checkpointing()


@pytest.fixture
def invariance(prior):
    with torch.no_grad():
        query = prior.decode(prior.flow(prior.noise(99)[None]))
    return Invariance(lambda x: x.mean((2, 3)), distances.SquaredL2(), filters.Gaussian(0.5), query)


class Failing:
    """`function`, but the given calls (from 0) raise `error` instead."""

    def __init__(self, function, calls, error):
        self.function, self.calls, self.error, self.count = function, calls, error, 0

    def __call__(self, *args, **options):
        self.count += 1
        if self.count - 1 in self.calls:
            raise self.error
        return self.function(*args, **options)


def draw(prior, invariance, plan, optimizer=None):
    """All events as plain values, and the plan at the end."""
    memory, slots = Memory(plan), Slots(SEEDS, plan.batch, torch.device("cpu"))
    events = list(Latent(optimizer or shampoo(), 5, 1e-5)(prior, invariance, slots, memory))
    steps = [(event.index, event.step, event.loss) for event in events if isinstance(event, Step)]
    return {event.index: event for event in events if isinstance(event, Finished)}, steps, memory.plan


def shampoo():
    return optimizers.Shampoo(0.3, 0.5, 1e-6)


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize(
    "place", ["noise", "init", "flow", "decode", "objective", "backward", "optimizer", "norms", "slots"]
)
def test_a_step_that_fails_anywhere_is_tried_again_and_nothing_is_counted_twice(
    prior, invariance, monkeypatch, place, error
):
    expected, steps, _ = draw(prior, invariance, Plan(3, 4, 0))
    optimizer = shampoo()
    owner, name = {
        "noise": (prior, "noise"),
        "init": (optimizer, "init"),
        "flow": (prior, "flow"),
        "decode": (prior, "decode"),
        "objective": (invariance, "objective"),
        "backward": (torch.autograd, "grad"),
        "optimizer": (optimizer, "step"),
        "norms": (torch, "stack"),
        "slots": (Slots, "_better"),
    }[place]
    call = 1 if place in ("noise", "init") else 3
    failing = Failing(getattr(owner, name), {call}, ERRORS[error])
    monkeypatch.setattr(owner, name, (lambda *args: failing(*args)) if place == "slots" else failing)
    finished, again, plan = draw(prior, invariance, Plan(3, 4, 0), optimizer)
    assert plan == Plan(3, 4, 2) and failing.count > call + 1
    assert again == steps
    for index, event in finished.items():
        assert (event.status, event.steps) == (expected[index].status, expected[index].steps)
        assert all(torch.equal(value, expected[index].best[key]) for key, value in event.best.items())


def test_first_more_is_recomputed_then_the_batch_is_halved():
    plans, plan = [], Plan(5, steps=4, recompute=1)
    while plan := plan.lighter():
        plans.append((plan.batch, plan.recompute, plan.decoder))
    assert plans == [(5, 3, False), (5, 4, False), (5, 4, True), (2, 4, True), (1, 4, True)]


def test_a_batch_that_does_not_fit_is_done_in_parts(prior, invariance, monkeypatch):
    expected, _, _ = draw(prior, invariance, Plan(5, 4, 4))
    decode, sizes = prior.decode, []

    def small(z, adjoint):
        sizes.append(len(z))
        if len(z) > 2:
            raise ERRORS["device"]
        return decode(z, adjoint)

    monkeypatch.setattr(prior, "decode", small)
    finished, _, plan = draw(prior, invariance, Plan(5, 4, 4))
    assert plan == Plan(2, 4, 4, decoder=True) and sizes[:5] == [5, 5, 2, 2, 1]
    assert prior.decoder.decoder.gradient_checkpointing
    for index, event in finished.items():
        assert event.steps == expected[index].steps
        assert torch.allclose(event.best["picture"], expected[index].best["picture"], atol=1e-3)


def test_when_nothing_helps_it_says_so_and_the_samples_are_as_they_were(prior, invariance, monkeypatch):
    memory, slots = Memory(Plan(3, 4, 4)), Slots(SEEDS, 3, torch.device("cpu"))
    events = Latent(shampoo(), 5, 1e-9)(prior, invariance, slots, memory)
    next(events)
    before, facts = slots.save()
    with monkeypatch.context() as patch:
        patch.setattr(prior, "decode", Failing(prior.decode, set(range(99)), ERRORS["main"]))
        with pytest.raises(Exhausted, match=r"out of memory with batch=1, 4 of 4 solver steps and the decoder recomp"):
            next(events)
    after, again = slots.save()
    assert facts == again and all(torch.equal(after[name], before[name]) for name in before)
    rest = list(Latent(shampoo(), 5, 1e-9)(prior, invariance, slots, memory))
    assert sorted(event.index for event in rest if isinstance(event, Finished)) == [0, 1, 2, 3, 4]


def test_other_errors_pass():
    for error in (RuntimeError("size mismatch"), ValueError("no")):
        with pytest.raises(type(error)):
            Memory(Plan(4, 2, 0)).attempt(Failing(None, {0}, error))


def test_what_the_failed_call_held_is_free_when_it_is_called_again():
    held = []

    def function():
        assert not held or held[0].expired, "the first attempt's tensor is still there"
        if not held:
            tensor = Tracked()
            held.append(tensor.fate)
            raise MemoryError
        return "done"

    assert Memory(Plan(2, 2, 0)).attempt(function) == "done"


class Tracked:
    """Something whose `fate.expired` tells whether it is gone."""

    def __init__(self):
        self.fate = type("Fate", (), {"expired": False})()

    def __del__(self):
        self.fate.expired = True


def test_the_allocators_own_error_is_recognised():
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (64 * 2**30, hard))
    try:
        with pytest.raises(RuntimeError) as error:
            torch.empty(2**40, dtype=torch.uint8)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
    assert exhausted(error.value) and not exhausted(RuntimeError("out of luck"))


def test_steps_without_a_successor_build_no_graph(prior, invariance, monkeypatch):
    flow, graphs = prior.flow, []
    monkeypatch.setattr(prior, "flow", lambda *given: note(flow(*given), graphs))
    draw(prior, invariance, Plan(5, 4, 0))
    assert graphs == [True] * 4 + [False], "the fifth of five evaluations needs no gradient"


def note(z, graphs):
    graphs.append(z.requires_grad)
    return z


def test_two_waits_for_the_device_in_a_step(prior, invariance, monkeypatch):
    """What decides is copied to the host twice, however many samples there are; best pairs only when samples leave."""
    copies = []
    cpu = torch.Tensor.cpu
    monkeypatch.setattr(torch.Tensor, "cpu", lambda self: copies.append(tuple(self.shape)) or cpu(self))
    memory, slots = Memory(Plan(5, 4, 4)), Slots(SEEDS, 5, torch.device("cpu"))
    next(Latent(shampoo(), 5, 1e-9)(prior, invariance, slots, memory))
    assert copies == [(5,), (5, 5)]
