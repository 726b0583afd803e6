"""Comparisons: verdicts on numbers whose answer is known, what is taken of half, and a row measured by other means."""

import pytest
import torch

from scripts.measure import claims
from scripts.shared.comparing import REFUTED, SUPPORTED, UNDECIDED, Quantity, compared, median, overall, share, values

MEDIAN = Quantity("middle", lambda rows: rows, median)


def normal(mean, count=60, seed=0):
    return mean + torch.randn(count, generator=torch.Generator().manual_seed(seed))


def test_a_verdict_follows_from_the_interval_of_the_difference():
    low, high = [normal(0, seed=1), normal(1, seed=2)], [normal(3, seed=3), normal(4, seed=4)]
    assert compared(MEDIAN, low, high, lower=True)[-1] == SUPPORTED
    assert compared(MEDIAN, low, high, lower=False)[-1] == REFUTED
    assert compared(MEDIAN, low, low, lower=True)[-1] == UNDECIDED
    assert overall([SUPPORTED] * 3) == SUPPORTED and overall([SUPPORTED, REFUTED]) == UNDECIDED


def test_the_interval_of_a_median_is_as_wide_as_theory_says():
    value, found = values(MEDIAN, [normal(0, 400)], 0)
    assert found.std().item() == pytest.approx((torch.pi / 2 / 400) ** 0.5, rel=0.3) and abs(value) < 0.15


def test_of_half_nothing_is_repeated():
    different = Quantity("different", lambda rows: rows, lambda rows: float(len(rows.unique())), half=True)
    value, found = values(different, [torch.arange(40)], 0)
    assert value == 20 and set(found.tolist()) == {20.0}
    assert values(different, [torch.arange(40)], 0, [torch.arange(10)])[0] == 5, "of as many as there are of the other"
    assert values(Quantity("share", lambda rows: rows, share), [torch.tensor([True, False])], 0)[0] == 0.5


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return claims.Study([f"query={claims.query('11', tmp_path_factory.mktemp('q'))}", "null_samples=8"], 4, 32, None)


def test_a_setting_is_measured_on_rounded_pictures(study, monkeypatch):
    monkeypatch.setitem(claims.SETTINGS, "guidance", "method=guidance null_samples=8")
    one = study.drawn("guidance")
    assert torch.equal(one.pictures, (one.pictures * 255).round() / 255) and one.evaluations == 4
    held = study.parts.target(one.pictures)[:, study.parts.question.objective.index]
    spread = study.parts.target(study.null)[:, study.parts.question.objective.index].std(unbiased=False)
    assert torch.allclose(one.errors, (held - study.parts.question.target).abs() / spread, atol=1e-4)
    assert one.deviation.shape == (4,) and (one.deviation > 0).all()
    row = compared(claims.ERROR, [one], [study.measured("unguided", study.null[:4])], True)
    assert len(row) == 5
    for quantity in (claims.PRECISION, claims.HELD, claims.SPECTRUM, claims.VENDI):
        assert compared(quantity, [one], [one], True)[-1] == UNDECIDED


def test_memory_grows_only_where_nothing_is_computed_again(study, monkeypatch):
    monkeypatch.setattr(claims, "STEP_COUNTS", (2, 6))
    (_, few_kept), (many, many_kept) = claims.memory(study.parts.prior).values()
    assert many_kept > 2 * few_kept and many < 0.2 * many_kept


def test_every_claim_names_what_is_drawn():
    named = {name for rows in claims.CLAIMS.values() for _, *pair, _ in rows for name in pair}
    assert named <= {*claims.SETTINGS, "rejection"}
    assert [claim[1] for claim in claims.CLAIMS] == list("abcefg"), "(d) has a table of its own"
