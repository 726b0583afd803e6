"""What stands for the set's own law: exact samples where they are enough, weights where not, another run, nothing."""

import math
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from omegaconf import OmegaConf

from equidiff_cli.study.law import METHOD, accepted, distances, law_of
from equidiff_cli.study.sets import Set

VALUES = torch.linspace(-4, 4, 401)  # an even pool, 0.02 apart; the query's value is 0, a null spread is 2
SHIFT = 0.3  # what the filter adds


def case(typical="auto", tolerance=0.15, bandwidth=0.3, lowpass=lambda x: x, pool=VALUES):
    def measure(x):
        return x.mean((1, 2, 3))[:, None]

    one = SimpleNamespace(measure=measure, target_values=torch.zeros(1), spread=2.0, lowpass=lowpass)
    one.off = lambda values: values[:, 0].abs() / one.spread
    one.options = SimpleNamespace(typical=typical, typical_tolerance=tolerance, bandwidth=bandwidth)
    one.prior, one.run = SimpleNamespace(device="cpu"), run()
    one.unguided = Set(one, pool[:, None, None, None].expand(-1, 3, 2, 2))
    one.pool = lambda count: SimpleNamespace(pictures=VALUES[:count, None, None, None].expand(-1, 3, 2, 2))
    return one


def values(law):
    return law.set.pictures[:, 0, 0, 0]


def test_samples_within_the_tolerance_are_exact():
    law = law_of(case(tolerance=0.505))
    assert values(law).abs().max() <= 1.01 and law.count == len(law.weights) == 101
    assert law.reason is None and law.about == "the set is 101 of 401 unguided ones within 0.505 null spreads"
    assert law.even(0).tolist() == list(range(101))


def test_both_values_count():
    one = case(tolerance=0.505, bandwidth=0.303, lowpass=lambda x: x + SHIFT)
    law = law_of(one)
    assert values(law).min() >= -1.01 and 0.69 < values(law).max() <= 1.01 - SHIFT
    far = distances(one, one.unguided)
    near = VALUES.abs() / 2 <= 0.909  # three bandwidths
    expected = torch.maximum(VALUES.abs(), (VALUES + SHIFT).abs()) / 2
    torch.testing.assert_close(far[near], expected[near])
    assert far[~near].isinf().all()


def test_where_they_are_too_few_all_are_weighted():
    law = law_of(case(tolerance=0.15))  # 31 of them
    torch.testing.assert_close(law.weights, torch.exp(-((values(law).double() / 0.6) ** 2) / 2), atol=1e-5, rtol=1e-4)
    assert law.count == pytest.approx(math.sqrt(4 * math.pi) * 0.6 / 0.02, rel=0.02), "of a gaussian on an even line"
    assert "weighted with a bandwidth of 0.3" in law.about
    assert 0 < len(law.even(0)) < len(law.weights)


def test_too_few_are_said_and_none_is_asked_for():
    law = law_of(case(pool=torch.tensor([0.0, 0.1, 3.0])))
    assert law.set is None and law.reason.startswith("the set is 2 effective samples of 3 unguided ones")
    assert law.reason.endswith("; at least 8 are needed")
    none = case(pool=torch.tensor([3.0, 4.0]), lowpass=lambda x: pytest.fail("nothing to filter"))
    assert law_of(none).reason.startswith("the set is 0 effective samples of 2")
    assert law_of(case(0)).reason == "typical=0 switches it off"
    assert law_of(case(300, tolerance=4.0)).about.startswith("the set is 300 of 300 unguided ones")


def run(path="a", method=METHOD, **changes):
    config = {name: {"_target_": f"some.{name}"} for name in ("prior", "target", "question", "objective", "filter")}
    config = OmegaConf.create(config | {"method": {"_target_": method}} | changes)
    records = [{"status": "converged"}, {"status": "budget"}, {"status": "converged"}]
    pictures = torch.arange(3.0)[:, None, None, None].expand(-1, 3, 2, 2)
    query = torch.zeros(1, 3, 2, 2)
    one = SimpleNamespace(path=Path(path), config=config, query=query, weights={"w": "1"}, region=None)
    one.records, one.pictures = records, pictures
    return one


def test_of_a_run_by_rejection_those_that_fit_are_taken():
    assert accepted(run(method="some.Latent"), run())[:, 0, 0, 0].tolist() == [0.0, 2.0]


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        (run("b", method="some.Latent"), r"typical=b: was drawn with method\._target_=some\.Latent; give a run of"),
        (run("b", filter={"_target_": "some.filter", "cutoff": 0.2}), r"typical=b: was drawn with filter\.cutoff=0\.2"),
        (run("b", robust={"_target_": "some.Views"}), r"typical=b: was drawn with robust\._target_=some\.Views, a"),
        (run("b", region="attribution", region_role="evidence"), "typical=b: was drawn with region=attribution, a"),
        (SimpleNamespace(**{**vars(run("b")), "query": torch.ones(1, 3, 2, 2)}), "typical=b: has another query than a"),
        (SimpleNamespace(**{**vars(run("b")), "weights": {"w": "2"}}), "typical=b: was drawn with other weights"),
    ],
)
def test_a_run_of_another_request_is_refused(reference, said):
    with pytest.raises(ValueError, match=f"^{said}"):
        accepted(run(), reference)


def test_another_mask_is_another_request():
    words = dict(region="mask.png", region_role="evidence")
    mine, other = run(**words), run("b", **words)
    mine.region, other.region = torch.zeros(1, 1, 2, 2), torch.ones(1, 1, 2, 2)
    with pytest.raises(ValueError, match="typical=b: has another region"):
        accepted(mine, other)
    other.region = mine.region.clone()
    assert len(accepted(mine, other)) == 2


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (dict(region=[0, 0, 1, 1], region_role="free"), "samples keep the query's pixels outside of the region"),
        (dict(near=0.3), "samples begin near the query"),
        (dict(question={"_target_": "some.Counterfactual"}), "samples begin near the query"),
        (dict(question={"_target_": "equidiff_cli.parts.raising.Raise"}), "values were raised or lowered without end"),
    ],
)
def test_what_has_no_law_by_its_value_is_held_against_none(changes, said):
    one = case(tolerance=4.0)
    one.run = run(**changes)
    assert law_of(one).set is None and law_of(one).reason.startswith(said)
    one.run = run(region=[0, 0, 1, 1], region_role="evidence", near=None)
    assert law_of(one).count == 401
