"""Rejection: the exact law on a prior with a closed form, independence of the batch, the pool, the forecast, a run."""

import csv
import json
import math
from types import SimpleNamespace

import pytest
import torch
from scipy import stats

from equidiff_cli.engine.memory import Memory
from equidiff_cli.engine.plan import Plan
from equidiff_cli.engine.slots import Slots
from equidiff_cli.errors import WrongRequest
from equidiff_cli.methods.events import Finished, Step
from equidiff_cli.methods.rejection import Rejection, draw_seed, expected_rate
from equidiff_cli.metrics.interval import clopper_pearson
from equidiff_cli.parts.distances import SquaredL2
from equidiff_cli.parts.filters import Identity
from equidiff_cli.parts.questions import Invariance
from equidiff_cli.prior.prior import sample_seed

OFF = 0.7  # how far the filter of the toy moves the value


class Plane:
    """A prior whose pictures are its starting noise: two independent normal numbers, one velocity evaluation each."""

    device, latent_shape, evaluations = torch.device("cpu"), (2, 1, 1), 1

    def noise(self, seed):
        return torch.randn(self.latent_shape, generator=torch.Generator().manual_seed(seed))

    def flow(self, z):
        return z.clone()

    def decode(self, z):
        return z.clone()

    def filed(self, x):
        return x


def first(x):
    """The value: the first number."""
    return x[:, 0, 0]


def question(value, lowpass=None):
    query = torch.tensor([value, 0.0]).reshape(1, 2, 1, 1)
    return Invariance(first, SquaredL2(), lowpass or Identity(), query)


def memory(batch):
    return Memory(Plan(batch, steps=1, recompute=1))


def draw(asked, *, samples, tolerance, batch=64, pool=10**6, seed=0, prior=None):
    """All events, and the finished samples by index."""
    seeds = [(i, sample_seed(seed, i)) for i in range(samples)]
    events = []
    for event in Rejection(tolerance, pool)(prior or Plane(), asked, Slots(seeds, batch, "cpu"), memory(batch)):
        events.append(event)
    return events, {event.index: event for event in events if isinstance(event, Finished)}


def test_the_law_is_the_prior_conditioned_on_the_value():
    _, finished = draw(question(0.4), samples=800, tolerance=0.5, seed=1)
    assert {one.status for one in finished.values()} == {"converged"}
    x = torch.stack([finished[i].best["picture"].flatten() for i in range(800)]).numpy()
    assert stats.kstest(x[:, 0], stats.truncnorm(-0.1, 0.9).cdf).pvalue > 0.01
    assert stats.kstest(x[:, 1], stats.norm.cdf).pvalue > 0.01
    rate = stats.norm.cdf(0.9) - stats.norm.cdf(-0.1)
    low, high = clopper_pearson(800, sum(one.steps for one in finished.values()))
    assert low < rate < high
    alone = sum(one.steps == 1 for one in finished.values())
    assert alone / 800 == pytest.approx(rate, abs=0.05), "the waiting time is geometric"


def test_both_values_have_to_fit():
    def moved(x):
        return x + OFF

    _, finished = draw(question(0.0, moved), samples=200, tolerance=0.5)
    x = torch.stack([finished[i].best["picture"].flatten()[0] for i in range(200)])
    assert x.min() >= -0.5 and x.max() <= 0.5 - OFF, "what is within of both values, not of their sum"


def test_what_fits_is_kept_although_an_earlier_draw_had_the_smaller_sum(monkeypatch):
    """The sum of losses of a draw that misses one value can be below that of one that fits: 1.1 against 2 x 0.9."""
    values = iter([(1.1, 0.0), (0.9, 0.9), (5.0, 5.0)])

    def asked(x):
        u, f = next(values)
        one = torch.ones(len(x))
        return u * one, f * one, first(x), first(x)

    _, finished = draw(asked, samples=1, tolerance=1.0, batch=1)
    assert finished[0].status == "converged" and finished[0].steps == 2
    assert finished[0].best["loss"].item() == pytest.approx(1.8)


def test_no_sample_depends_on_the_batch(tiny_prior):
    query = tiny_prior.decode(tiny_prior.flow(tiny_prior.noise(99)[None]))
    held = Invariance(lambda x: x.mean((2, 3))[:, :1], SquaredL2(), lambda x: x.flip(3) * 0.99, query)
    pictures = tiny_prior.unguided(32, 32)
    held.scale = 1 / held.spread(pictures, 32)
    results = [draw(held, samples=5, tolerance=0.3, batch=batch, pool=40, prior=tiny_prior) for batch in (1, 3, 32)]
    for events, finished in results:
        assert sorted(finished) == list(range(5))
        assert {one.status for one in finished.values()} <= {"converged", "budget"}
        for i, one in finished.items():
            other = results[0][1][i]
            assert (one.status, one.steps, one.evaluations) == (other.status, other.steps, 4 * other.steps)
            assert torch.allclose(one.best["picture"], other.best["picture"], atol=1e-5)
        rows = sorted((i, step) for e in events if isinstance(e, Step) for i, step in zip(e.index, e.step, strict=True))
        assert rows == [(i, step) for i in range(5) for step in range(1, finished[i].steps + 1)], "every draw once"


def test_the_draws_are_those_of_the_samples_own_stream():
    events, finished = draw(question(0.4), samples=3, tolerance=0.3, batch=8)
    for i, one in finished.items():
        drawn = [Plane().noise(draw_seed(sample_seed(0, i), j))[0].item() for j in range(one.steps)]
        assert [abs(v - 0.4) <= 0.3 for v in drawn] == [False] * (one.steps - 1) + [True]
        assert one.best["z_start"].flatten()[0].item() == drawn[-1]
    losses = {(i, s): v for e in events if isinstance(e, Step) for i, s, v in zip(e.index, e.step, e.loss, strict=True)}
    assert losses[0, 1] == pytest.approx(2 * (Plane().noise(sample_seed(0, 0))[0].item() - 0.4) ** 2, rel=1e-4)


def test_a_sample_whose_pool_is_empty_leaves_with_its_best_draw():
    _, finished = draw(question(9.0), samples=2, tolerance=0.1, pool=11, batch=8)
    for i, one in finished.items():
        drawn = [Plane().noise(draw_seed(sample_seed(0, i), j))[0].item() for j in range(11)]
        assert (one.status, one.steps) == ("budget", 11)
        assert one.best["picture"].flatten()[0].item() == max(drawn)


def test_a_sample_that_is_never_finite_says_so():
    def asked(x):
        return (torch.full((len(x),), math.nan),) * 2 + (first(x), first(x))

    _, finished = draw(asked, samples=1, tolerance=0.1, pool=3)
    assert finished[0].status == "nonfinite"


def test_the_rate_is_foretold():
    x = torch.randn(64, 2, generator=torch.Generator().manual_seed(0))
    common = expected_rate((x[:, 0] - 0.2).abs(), 0.5, 1)
    assert common == pytest.approx(((x[:, 0] - 0.2).abs() <= 0.5).double().mean().item())
    rare = expected_rate(x.abs().amax(1), 0.05, 2)  # a square around the middle: 0.1^2 / 2 pi
    assert 0.3 * 0.01 / (2 * math.pi) < rare < 3 * 0.01 / (2 * math.pi)


def test_the_forecast_says_the_cost_warns_and_refuses():
    said = Rejection(0.5, 1000).forecast(Plane(), question(0.4), 100, 400, memory(64))
    rate = float(said.split()[1])
    assert rate == pytest.approx(stats.norm.cdf(0.9) - stats.norm.cdf(-0.1), abs=0.07) and "finds no" not in said
    assert float(said.split("0.5: ")[1].split()[0]) == pytest.approx(100 / rate, rel=0.02)
    assert "finds no member within method.pool=2" in Rejection(0.5, 2).forecast(
        Plane(), question(0.4), 100, 400, memory(64)
    )
    with pytest.raises(WrongRequest, match=r"^method\.tolerance=1e-06: about .* 3 x method\.pool=10 draws"):
        Rejection(1e-6, 10).forecast(Plane(), question(0.4), 3, 64, memory(64))


def test_several_values_that_vary_in_few_dimensions_are_foretold_by_those():
    """Twenty values along a plane, the query 1 away from its middle: the share within 0.4 is known."""
    generator = torch.Generator().manual_seed(0)
    plane = torch.linalg.qr(torch.randn(20, 2, generator=generator))[0]
    draws = torch.randn(64, 50, 2, generator=generator) @ plane.T - plane[:, 0]
    share = (draws.norm(dim=2) <= 0.4).double().mean().item()
    found = torch.tensor([expected_rate(draws[:, i].norm(dim=1), 0.4, 20) for i in range(50)])
    assert found.log().mean().exp().item() == pytest.approx(share, rel=0.35) and found.min() > share / 10


def test_the_account_has_the_exact_interval():
    records = [{"steps": 40, "status": "converged"}, {"steps": 60, "status": "budget"}]
    facts, said = Rejection(0.2, 60).account(records, clopper_pearson)
    low, high = stats.binomtest(1, 100).proportion_ci(method="exact")
    assert facts["rejection"] == {
        **{"draws": 100, "accepted": 1, "rate": 0.01, "low": pytest.approx(low), "high": pytest.approx(high)},
        **{"tolerance": 0.2, "interval": "95 % Clopper-Pearson"},
    }
    assert said.startswith("1 of 100 draws fit, 0.01 (95 %:") and "1 of 2 samples found none in method.pool=60" in said


SHORT = ("method=rejection", "prior=embedded", "prior.steps=1", "null_samples=8", "samples=3", "device=cpu", "batch=2")


def test_a_run_that_is_stopped_goes_on_to_the_same_bytes(stopped_once):
    alone = stopped_once(2, *SHORT, "method.tolerance=3.5", "method.pool=6")
    summary = json.loads((alone / "summary.json").read_text())
    records = [json.loads(line) for line in (alone / "samples.jsonl").read_text().splitlines()]
    facts = summary["rejection"]
    assert facts["draws"] == sum(record["steps"] for record in records)
    assert facts["accepted"] == summary["counts"]["converged"] and facts["low"] < facts["rate"] < facts["high"]
    with open(alone / "losses.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == facts["draws"] and not any(row["grad_norm"] for row in rows)
    for record in records:
        fits = max(record["loss_unfiltered"], record["loss_filtered"]) <= 3.5**2
        assert fits == (record["status"] == "converged")
    assert not (alone / "unguided").exists(), "its samples are unguided ones"


@pytest.mark.parametrize(
    ("word", "name"),
    [
        ("optimizer=sgd", "optimizer"),
        ("optimizer.damping=2", "optimizer"),
        ("budget.steps=3", "budget"),
        ("gradient_steps=1", "gradient_steps"),
        ("checkpoint=all", "checkpoint"),
    ],
)
def test_what_it_has_no_use_for_is_refused(word, name):
    from equidiff_cli.request.method import method_of
    from equidiff_cli.request.schema import composed

    words = ["method=rejection", word]
    with pytest.raises(ValueError, match=rf"^{word}: the chosen method takes no {name}; leave it out"):
        method_of(composed(*words), words)


def test_the_command_says_what_to_expect_and_what_it_came_to(equidiff):
    done = equidiff("run", *SHORT, "method.tolerance=9", "method.pool=50")
    assert done.returncode == 0, done.stderr
    assert "of unguided samples fit within 9:" in done.stderr and "are expected for 3 samples" in done.stderr
    assert " draws fit, " in done.stderr and "3 converged" in done.stderr


def test_a_run_that_cannot_find_a_member_is_refused(equidiff):
    done = equidiff("run", *SHORT, "method.tolerance=1e-9", "method.pool=5")
    assert done.returncode == 2 and done.stdout == ""
    assert "method.tolerance=1e-09: about" in done.stderr.splitlines()[-1]


def test_parts_see_its_budget():
    from equidiff_cli.request.method import budget_of
    from equidiff_cli.request.schema import composed

    config = composed("method=rejection")
    assert budget_of(config, Rejection(0.5, 7)) | {"patience": None} == {
        **{"steps": 7, "threshold": 0.5},
        "patience": None,
    }
    assert budget_of(config, SimpleNamespace())["steps"] == config.budget.steps


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["near=0.3"], "near=0.3: method=rejection accepts pictures as the prior draws them"),
        (["region=[8,8,24,24]"], r"region=\[8, 8, 24, 24\]: method=rejection accepts"),
        (["diverse=true", "batch=2"], "diverse=True: method=rejection accepts"),
        (["question=counterfactual"], "question=counterfactual: method=rejection accepts"),
        (["prior.label=random"], "prior.label=random: each sample would keep the class of its seed"),
        (["method=walk", "prior.label=random"], "prior.label=random: .* method=walk would not have the law"),
        (["method=latent", "near=0.3", "prior.label=random"], "prior.label=random: with near=0.3 samples begin"),
        (["method=latent", "question=counterfactual", "prior.label=random"], "prior.label=random: with question="),
    ],
)
def test_what_would_change_the_law_is_refused(words, said):
    from equidiff_cli.request.check import check
    from equidiff_cli.request.schema import composed

    with pytest.raises(ValueError, match=f"^{said}") as error:
        check(composed("prior=embedded", "method=rejection", *words))
    assert "\n" not in str(error.value)


def test_the_evidence_of_a_region_has_a_law():
    from equidiff_cli.request.check import check
    from equidiff_cli.request.schema import composed

    check(composed("prior=embedded", "method=rejection", "region=[8,8,24,24]", "region_role=evidence"))
    check(composed("prior=embedded", "method=walk", "near=0.3"))
