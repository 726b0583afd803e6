"""A case: which filter is asked at other cutoffs, how many samples are compared with how many, what has no unit."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from omegaconf import OmegaConf

from equidiff_cli.parts.filters import Butterworth, Gaussian, Identity
from equidiff_cli.study.case import Case
from equidiff_cli.study.null import Null
from equidiff_cli.target.small import embedded

TERMS = [{"objective": "logit", "objective.label": label} for label in ("cat", "dog")]


def mean(x):
    return x.mean((1, 2, 3))[:, None]


def case(count=3, null=10, lowpass=None, objective=mean, real=None, asked=None, wanted=None):
    """A run of `count` random pictures whose objective is the mean colour."""
    pictures = torch.rand(count, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    values = objective(pictures)
    values = values[:, 0].tolist() if values.shape[1] == 1 else values.tolist()
    records = [{"objective": value, "objective_saved": value, "target": wanted or values[0]} for value in values]
    run = SimpleNamespace(path=Path("run"), query=pictures[:1], pictures=pictures, latents=None, records=records)
    run.nonfinite, run.evaluations, run.warnings, run.kept = 2, 12, [], None
    run.summary = {"question": asked} if asked else {}
    kinds = {name: {"_target_": f"some.{name}"} for name in ("Invariance", "Reach", "Logit")}
    kinds["All"] = {"_target_": "some.All", "terms": TERMS}
    held = kinds["All" if asked and "terms" in asked else "Logit"]
    run.config = OmegaConf.create({"objective": held, "question": kinds["Reach" if wanted else "Invariance"]})
    prior = SimpleNamespace(device=torch.device("cpu"), evaluations=4)
    unguided = Null(torch.rand(null, 3, 32, 32), torch.randn(null, 2), torch.randn(null, 2))
    options = SimpleNamespace(batch=4, seed=0)
    return Case(run, prior, embedded("smallconv"), objective, lowpass, unguided, [], "none", real, options, pytest.fail)


def test_other_ways_to_keep_the_value():
    assert case().beside == {}
    query = case().query.pictures
    real = torch.cat([(query + off).clamp(0, 1) for off in (0.3, 0.0, 0.1, 0.2, 0.4)])
    found = case(real=real).beside
    assert torch.equal(found["real"].pictures, real[[2, 3, 0]]), "the nearest, without the query itself"
    made = found["augmented"].pictures
    assert made.shape == (3, 3, 32, 32) and torch.equal(made, (made * 255).round() / 255)
    assert len({picture.sum().item() for picture in made}) == 3


def test_its_sets():
    one = case()
    assert (len(one.query), len(one.samples), len(one.unguided), one.real) == (1, 3, 10, None)
    assert (one.samples.failures, one.samples.evaluations, one.unguided.evaluations) == (2, 12, 40)
    assert one.samples.errors[0] == 0 and one.spread == pytest.approx(one.unguided.values.std().item())
    torch.testing.assert_close(one.samples.recorded, one.samples.values)
    assert [network.key for network in one.networks] == ["target"] and one.run.warnings == []


def test_samples_are_compared_with_what_is_left():
    assert [(case(n).half, len(case(n).reference)) for n in (1, 5, 7)] == [(1, 9), (5, 5), (5, 5)]


def test_the_filter_of_the_run_at_another_cutoff():
    like = case(lowpass=Butterworth(0.2, 3)).filter_at(0.4)
    assert isinstance(like, Butterworth) and (like.cutoff, like.order) == (0.4, 3)
    for lowpass in (Identity(), torch.nn.AvgPool2d(1)):  # the second one knows no other cutoff
        like = case(lowpass=lowpass).filter_at(0.4)
        assert isinstance(like, Gaussian) and like.cutoff == 0.4


def test_what_was_to_be_reached_counts_however_near_it_is_to_the_query():
    ours = case().query.values.item()
    near = ours + 0.1 * case().spread
    assert case(asked={"endless": False}, wanted=near).target_values.item() == pytest.approx(near)
    assert case(asked={"endless": False}).target_values.item() == pytest.approx(ours)


def test_an_objective_without_spread_has_no_unit():
    with pytest.raises(ValueError, match="run: the objective's spread over unguided samples is 0"):
        case(objective=lambda x: torch.ones(len(x), 1))


def test_of_several_terms_the_one_that_is_furthest_counts():
    """In null spreads of its own: a small number that is off does not hide behind a large one that is held."""

    def objective(x):
        return torch.stack([1000 * x.mean((1, 2, 3)), x[:, 0, 0, 0], x[:, 1, 0, 0]], 1)

    objective.terms = [SimpleNamespace(objective=lambda x: objective(x)[:, :1])]
    objective.terms += [SimpleNamespace(objective=lambda x: objective(x)[:, 1:])]
    one = case(objective=objective, asked={"terms": ["large", "small"]})
    values = one.target_values + torch.tensor([[0.0, 0.3, 0.4], [500.0, 0.0, 0.0]])
    large, small = one.unguided.values[:, :1], one.unguided.values[:, 1:]
    expected = torch.tensor([0.5 / small.var(0).sum().sqrt(), 500 / large.std()])
    torch.testing.assert_close(one.off(values), expected)
    assert one.off(values)[0] > 0.5 and 0.5 / one.spread < 0.2
