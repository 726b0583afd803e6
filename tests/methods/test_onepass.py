"""Guidance and posterior sampling: on a flow with a closed form, beside plain sampling, in a batch, in a run."""

import json
from itertools import pairwise
from types import SimpleNamespace

import pytest
import torch

from equidiff_cli.engine.memory import Memory
from equidiff_cli.engine.plan import Plan
from equidiff_cli.engine.slots import Slots
from equidiff_cli.methods.events import Finished, Step
from equidiff_cli.methods.guidance import Guidance
from equidiff_cli.methods.posterior import Posterior, towards
from equidiff_cli.parts.distances import SquaredL2
from equidiff_cli.parts.filters import Identity
from equidiff_cli.parts.questions import Invariance
from equidiff_cli.parts.wrapped import Apart
from equidiff_cli.prior.paths import Flow

GUIDANCE = dict(scale=1.0, schedule="flat", normalize=False, through=True)
POSTERIOR = dict(inner=2, rate=1.0, hold=0.0, churn=0.0)


class Gauss:
    """Data N(0, s^2) in two numbers: v = a(t) z, a = (t s^2 - 1 + t) / ((1 - t)^2 + t^2 s^2); pictures are latents."""

    name, device, latent_shape, s2 = "gauss", torch.device("cpu"), (2, 1, 1), 0.25

    def __init__(self, steps=50):
        self.path = Flow("euler", steps, 1.0)
        self.times, self.evaluations = self.path.times, self.path.evaluations

    def rate(self, t):
        return (t * self.s2 - 1 + t) / ((1 - t) ** 2 + t**2 * self.s2)

    def noise(self, seed):
        return torch.randn(self.latent_shape, generator=torch.Generator().manual_seed(seed))

    def of(self, seeds):
        return self

    def velocity(self, z, i):
        return self.rate(self.times[i]) * z

    def decode(self, z, adjoint=None):
        return z * 1.0

    def filed(self, x):
        return x


def first(x):
    return x[:, 0, 0]


def asked(value):
    return Invariance(first, SquaredL2(), Identity(), torch.tensor([value, 0.0]).reshape(1, 2, 1, 1))


def draw(method, prior, question, samples=3, size=8, batch=8):
    slots, memory = Slots([(i, 10 + i) for i in range(samples)], size, "cpu"), Memory(Plan(batch, 1, 1))
    events = list(method(prior, question, slots, memory))
    return events, {event.index: event for event in events if isinstance(event, Finished)}


@pytest.mark.parametrize("schedule", ["flat", "bayes"])
@pytest.mark.parametrize("through", [True, False])
def test_guidance_adds_the_gradient_of_the_predicted_pictures_loss(schedule, through):
    """Against the recursion by hand: E = (1 + (1 - t) a) z, loss 2 (E - c)^2, its slope 4 (E - c) dE/dz."""
    prior, scale, c = Gauss(6), 0.1, 0.4
    method = Guidance(1e-9, **GUIDANCE | dict(scale=scale, schedule=schedule, through=through))
    _, finished = draw(method, prior, asked(c), samples=1)
    z, times = prior.noise(10).double()[0].item(), prior.times.tolist()
    for t, after in pairwise(times):
        factor = 1 + (1 - t) * prior.rate(t)
        slope = 4 * (factor * z - c) * (factor if through else 1)
        weight = scale * (1 if schedule == "flat" else (1 - t) / max(t, times[1]))
        z += (after - t) * (prior.rate(t) * z - weight * slope)
    best = finished[0].best
    assert best["picture"][0].item() == pytest.approx(z, abs=1e-5)
    assert best["loss"].item() == pytest.approx(2 * (z - c) ** 2, rel=1e-3)
    plain = prior.path(prior.velocity, prior.noise(10)[None])[0]
    assert best["picture"][1].item() == pytest.approx(plain[1].item()), "what the value does not see is left alone"


def test_normalized_guidance_takes_the_slope_of_the_root():
    prior, c = Gauss(1), 0.4
    _, finished = draw(Guidance(1e-9, **GUIDANCE | dict(normalize=True)), prior, asked(c), samples=1)
    z = prior.noise(10)[0].item()
    predicted = (1 + prior.rate(0.0)) * z  # 0: the mean of all data
    slope = 2**0.5 * (1 if predicted > c else -1) * (1 + prior.rate(0.0))
    assert finished[0].best["picture"][0].item() == pytest.approx(predicted - slope, abs=1e-5)


def test_without_a_control_posterior_is_the_plain_flow_and_churn_keeps_the_law():
    prior = Gauss(40)
    samples, off = 400, asked(0.4)
    off.scale = 0.0  # nothing is asked
    method = Posterior(-1.0, **POSTERIOR)
    _, finished = draw(method, prior, off, samples=3)
    for i, one in finished.items():
        assert torch.allclose(one.best["z"], prior.path(prior.velocity, prior.noise(10 + i)[None])[0], atol=1e-5)
    _, finished = draw(Posterior(-1.0, **POSTERIOR | dict(churn=1.0)), prior, off, samples, samples, samples)
    x = torch.stack([finished[i].best["z"].flatten() for i in range(samples)])
    plain = torch.stack([prior.path(prior.velocity, prior.noise(10 + i)[None]).flatten() for i in range(samples)])
    assert x.std().item() == pytest.approx(0.5, rel=0.15), "the standard deviation of the data"
    assert torch.corrcoef(torch.stack([x.flatten(), plain.flatten()]))[0, 1].abs() < 0.2, "other noise, another sample"


def test_an_inner_step_solves_what_is_linear():
    prior, method = Gauss(8), Posterior(1e-6, **POSTERIOR | dict(inner=1))
    events, finished = draw(method, prior, asked(0.3))
    for one in finished.values():
        assert one.status == "converged" and one.best["picture"][0].item() == pytest.approx(0.3, abs=1e-4)
        assert one.evaluations == 16 and one.steps == 9, (
            "two evaluations a solver step; the loss at each, and at the end"
        )
    (rows,) = [event for event in events if isinstance(event, Step)]
    assert rows.step[:9] == list(range(1, 10)) and rows.index == [0] * 9 + [1] * 9 + [2] * 9
    z = torch.tensor([[[[3.0]]], [[[1.0]]]])
    assert towards(z.flatten() ** 2, 2 * z, 1.0, 2.0).flatten().tolist() == [2.0, 1.0], "Newton's, and no longer"


def test_no_sample_depends_on_its_neighbours(tiny_prior):
    query = tiny_prior.decode(tiny_prior.flow(tiny_prior.noise(99)[None]))
    held = Invariance(lambda x: x.mean((2, 3))[:, :1], SquaredL2(), lambda x: x.flip(3) * 0.99, query)
    held.scale = 1 / held.spread(tiny_prior.unguided(16, 16), 16)
    for method in (Guidance(1e-3, **GUIDANCE), Posterior(1e-3, **POSTERIOR | dict(churn=0.5))):
        _, together = draw(method, tiny_prior, held, samples=4)
        _, apart = draw(method, tiny_prior, held, samples=4, size=3, batch=1)
        plain = tiny_prior.flow(tiny_prior.noise(10)[None])
        assert not torch.allclose(together[0].best["z"], plain[0], atol=1e-3), "it steers"
        for i in range(4):
            assert torch.allclose(together[i].best["picture"], apart[i].best["picture"], atol=1e-4)
            assert torch.equal(together[i].best["z_start"], tiny_prior.noise(10 + i))


def test_samples_that_repel_each_other_are_farther_apart_and_hold_the_value():
    prior = Gauss(8)
    apart = []
    for weight in (0.0, 1.0):
        question = Apart(asked(0.3), lambda x: x.flatten(1), weight)
        question.width = 0.5
        _, finished = draw(Posterior(1e-3, **POSTERIOR | dict(inner=3)), prior, question, samples=6)
        x = torch.stack([finished[i].best["picture"].flatten() for i in range(6)])
        assert (x[:, 0] - 0.3).abs().max() < 0.02
        apart.append(torch.pdist(x).mean().item())
    assert apart[1] > 1.2 * apart[0]


def test_what_is_no_flow_or_needs_another_solver_is_refused():
    query = torch.zeros(1, 3, 8, 8)
    jumps = SimpleNamespace(solver="euler", jumps="uniform", steps=1)
    with pytest.raises(ValueError, match=r"^method=guidance: steers a flow step by step, which this prior does not"):
        Guidance(1e-3, **GUIDANCE).prepare(query, jumps)
    with pytest.raises(ValueError, match=r"^prior.solver=heun: method=posterior needs euler"):
        Posterior(1e-3, **POSTERIOR).prepare(query, SimpleNamespace(solver="heun", steps=4))
    method = Posterior(1e-3, **POSTERIOR)
    method.prepare(query, SimpleNamespace(solver="euler", steps=4))
    assert method.budget == {"steps": 9}
    with pytest.raises(ValueError, match="raised or lowered"):
        method.suits(SimpleNamespace(endless=True), query)


SHORT = ("prior=embedded", "prior.steps=2", "null_samples=8", "samples=3", "device=cpu", "batch=2")


@pytest.mark.parametrize(
    "words",
    [("method=guidance", "prior.solver=heun"), ("method=posterior", "method.inner=1", "method.churn=0.5")],
    ids=["guidance", "posterior"],
)
def test_a_run_that_is_stopped_goes_on_to_the_same_bytes(stopped_once, words):
    alone = stopped_once(3, *SHORT, *words)
    records = [json.loads(line) for line in (alone / "samples.jsonl").read_text().splitlines()]
    assert {(record["steps"], record["nfe"]) for record in records} == {(5, 4) if "heun" in words[1] else (3, 4)}
    assert (alone / "unguided" / "000.png").exists(), "what the same noise gives unsteered"


@pytest.mark.parametrize(("method", "alone"), [("guidance", True), ("posterior", True), ("latent", False)])
def test_the_noise_of_a_steered_pass_is_no_evidence(method, alone):
    from equidiff_cli.evaluation.realism import left_alone
    from equidiff_cli.request.part import parameters
    from equidiff_cli.request.schema import composed

    config = composed(f"method={method}")
    assert bool(left_alone(config)) == alone
    assert ("steps" in parameters(config, "method")) != alone, "so more of them are no advice"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["method=guidance", "optimizer=sgd"], "optimizer=sgd: the chosen method takes no optimizer"),
        (["method=posterior", "budget.steps=5"], "budget.steps=5: the chosen method takes no budget.steps"),
        (["method=guidance", "method.scale=0"], "method.scale=0: must be"),
        (["method=guidance", "method.schedule=steep"], "method.schedule=steep:"),
        (["method=posterior", "method.rate=2"], "method.rate=2: must be"),
        (["method=posterior", "prior.solver=heun"], "prior.solver=heun: method=posterior needs euler"),
        (["method=posterior", "question=raise"], "method=posterior: a value that is raised"),
    ],
)
def test_what_it_cannot_do_is_said_in_a_line(equidiff, words, said):
    done = equidiff("run", "prior=embedded", "device=cpu", *words)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.splitlines()[-1].startswith(f"equidiff: {said}"), done.stderr
