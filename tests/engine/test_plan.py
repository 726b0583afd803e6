"""The plan for memory: what a sample keeps, what is free, and what follows from both."""

import itertools
import weakref

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from equidiff_cli.engine import plan
from equidiff_cli.engine.plan import Plan, available, footprint, settle
from equidiff_cli.methods.latent import evaluate
from equidiff_cli.parts import distances, filters
from equidiff_cli.parts.questions import Invariance
from equidiff_cli.prior.sampler import Adjoint


@pytest.fixture(scope="module")
def parts():
    """The shipped prior at four solver steps, and an objective on its pictures."""
    from equidiff_cli.prior.embedded import Embedded

    prior = Embedded(image_size=32, solver="euler", steps=4, shift=0.3).build(CPU, torch.float32)
    invariance = Invariance(
        lambda x: x.mean((2, 3)), distances.SquaredL2(), filters.Gaussian(0.5), torch.rand(1, 3, 32, 32)
    )
    return prior, invariance


CPU = torch.device("cpu")


def peak(prior, invariance, samples, recompute):
    """The most bytes that torch had allocated at once in one evaluation with its gradient, from its own profiler."""
    z0 = torch.stack([prior.noise(seed) for seed in range(samples)])
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        evaluate(prior, invariance, z0, torch.zeros(samples, dtype=torch.bool), 1e-9, Adjoint(recompute=recompute))
    events = [event for event in profiled.profiler.kineto_results.events() if event.name() == "[memory]"]
    return max(itertools.accumulate(event.nbytes() for event in sorted(events, key=lambda event: event.start_ns())))


@pytest.mark.parametrize("recompute", [0, 2, 4])
def test_the_footprint_foretells_the_peak(parts, recompute):
    step, rest = footprint(*parts)
    foretold = (4 - recompute) * step + max(step, rest)
    measured = peak(*parts, 2, recompute) - peak(*parts, 1, recompute)
    assert 0.6 * foretold < measured < plan.WORKSPACE * foretold


def test_what_is_fixed_is_not_measured(parts, monkeypatch):
    monkeypatch.setattr(plan, "footprint", None)
    assert settle(7, "all", "all", 100, *parts) == Plan(7, 4, 4)
    assert settle(7, "none", "all", 100, *parts) == Plan(7, 4, 0)
    assert settle(7, 3, "all", 100, *parts) == Plan(7, 4, 3)


def test_nothing_of_what_is_measured_stays(parts):
    made = []

    def function(z):
        made.append(weakref.ref(out := z.exp()))  # its own gradient: it is kept for the backward pass of itself
        return out

    assert plan.kept(function, parts[0], 2) > 0
    assert made[0]() is None


@pytest.fixture
def room(monkeypatch):
    """Room for so many units, where one sample keeps 10 in a solver step and 25 in the decoder and the target."""
    monkeypatch.setattr(plan, "footprint", lambda *_: [10, 25])

    def set_to(units):
        monkeypatch.setattr(plan, "available", lambda _: units * plan.WORKSPACE / plan.SHARE_ELSEWHERE + 1e-6)

    return set_to


@pytest.mark.parametrize(
    ("units", "asked", "expected"),
    [
        (10_000, ("auto", "auto"), (16, 0)),  # more is no use
        (16 * 65, ("auto", "auto"), (16, 0)),
        (16 * 65 - 1, ("auto", "auto"), (16, 1)),
        (16 * 25, ("auto", "auto"), (16, 4)),
        (16 * 25 - 1, ("auto", "auto"), (15, 4)),
        (25, ("auto", "auto"), (1, 4)),
        (1, ("auto", "auto"), (1, 4)),  # does not fit: it is tried all the same
        (10 * 65, ("auto", "none"), (10, 0)),
        (10 * 45, ("auto", 2), (10, 2)),
        (10 * 25, ("auto", "all"), (10, 4)),
        (40 * 45, (40, "auto"), (40, 2)),
    ],
)
def test_auto_takes_what_fits(parts, room, units, asked, expected):
    room(units)
    settled = settle(*asked, "all", 100, *parts)
    assert (settled.batch, settled.recompute) == expected and settled.steps == 4


def test_no_more_slots_than_samples_and_no_more_steps_than_have_a_gradient(parts, room):
    room(10_000)
    assert settle("auto", "auto", "all", 3, *parts) == Plan(3, 4, 0)
    assert settle("auto", "all", 2, 3, *parts) == Plan(3, 2, 2)
    assert settle(5, 3, 2, 3, *parts) == Plan(5, 2, 2)


def test_the_plan_says_how_to_differentiate():
    assert Plan(5, 3, 2).adjoint == Adjoint(gradient_steps=3, recompute=2, decoder=False)
    assert Plan(5, 3, 3, decoder=True).adjoint == Adjoint(gradient_steps=3, recompute=3, decoder=True)


def test_where_not_even_measuring_fits_the_lightest_plan_is_tried(parts, monkeypatch):
    def no_memory(*_):
        raise torch.OutOfMemoryError

    monkeypatch.setattr(plan, "kept", no_memory)
    assert settle("auto", "auto", "all", 9, *parts) == Plan(1, 4, 4, decoder=True)
    assert settle(3, "auto", "all", 9, *parts) == Plan(3, 4, 4, decoder=True)
    monkeypatch.setattr(plan, "kept", None)
    with pytest.raises(TypeError):
        settle("auto", "auto", "all", 9, *parts)


def test_free_memory_is_what_the_system_says(monkeypatch, tmp_path):
    assert 2**20 < available(CPU) <= 2**10 * int(next(open("/proc/meminfo")).split()[1])
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal:  9000 kB\nMemAvailable:    5000 kB\n")
    monkeypatch.setattr(plan, "Path", {"/proc/meminfo": meminfo}.get)
    for limits, free in (([], 5120000), ([2000000], 2000000), ([9000000, 3000000], 3000000), ([-5], 0)):
        monkeypatch.setattr(plan, "within_groups", lambda limits=limits: iter(limits))
        assert available(CPU) == free


def test_control_groups_from_the_processs_own_upwards(tmp_path):
    own, job = tmp_path / "cgroup", tmp_path / "groups" / "slurm" / "job_1"
    own.write_text("0::/slurm/job_1/step_0\n")
    (job / "step_0").mkdir(parents=True)
    for folder, most, used in ((job / "step_0", "max", 1), (job, "3000", 1000), (job.parent.parent, "9000", 4000)):
        (folder / "memory.max").write_text(f"{most}\n")
        (folder / "memory.current").write_text(f"{used}\n")
    assert list(plan.within_groups(tmp_path / "groups", own)) == [2000, 5000]
    assert list(plan.within_groups(tmp_path / "groups", tmp_path / "none")) == [5000]


def test_what_slurm_gave_a_job(monkeypatch):
    assert list(plan.within_job()) == []
    monkeypatch.setenv("SLURM_MEM_PER_NODE", "65536")
    assert 2**35 < next(plan.within_job()) < 2**36
    monkeypatch.setenv("SLURM_MEM_PER_CPU", "1024")
    monkeypatch.setenv("SLURM_CPUS_ON_NODE", "128")
    assert 2**36 < next(plan.within_job()) < 2**37
