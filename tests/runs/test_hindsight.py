"""What the records of a finished run say against it: advice where few converged, and noise that is not white."""

import math

import pytest
import torch

from equidiff_cli.runs.hindsight import advice, chance, off_the_shell

SCIPY = pytest.importorskip("scipy.stats")


def records(*statuses, loss=0.01):
    return [{"status": status, "loss": loss * (i + 1)} for i, status in enumerate(statuses)]


def test_where_half_converge_there_is_no_advice():
    assert advice(records("converged", "budget"), 80, 3e-4) is None
    assert advice(records("converged", "converged", "budget", "nonfinite"), 80, 3e-4) is None


def test_where_few_converge_the_losses_that_were_reached_say_what_to_try():
    said = advice(records("converged", "budget", "budget", "budget"), 80, 3e-4)
    assert said.startswith("1 of 4 samples converged; the losses that the others reached have the median 0.03 and beg")
    for word in ("begin at 0.02", "budget.steps=80", "budget.threshold than 0.0003", "optimizer", "loss_scale"):
        assert word in said


def test_losses_that_are_not_finite_are_another_matter():
    said = advice(records("nonfinite", "nonfinite", loss=float("nan")), 80, 3e-4)
    assert "not finite: try precision=fp32" in said and "budget.steps" not in said


@pytest.mark.parametrize(("count", "total"), [(0, 5), (1, 1), (3, 8), (7, 64)])
def test_chance_is_the_tail_of_a_binomial_distribution(count, total):
    assert chance(count, total) == pytest.approx(SCIPY.binom.sf(count - 1, total, 0.05))


@pytest.mark.parametrize("dimensions", [32, 640, 8192])
def test_few_runs_of_white_noise_are_warned_of_and_all_whose_noise_grew(dimensions):
    generator, warned, grown = torch.Generator().manual_seed(0), 0, 0
    for _ in range(200):
        norms = torch.randn(8, dimensions, generator=generator).norm(dim=1)
        warned += off_the_shell(norms.tolist(), dimensions) is not None
        grown += off_the_shell((1.43 * norms).tolist(), dimensions) is not None
    assert warned <= 8, "0.6 % by chance"
    assert grown == 200


def test_the_band_is_that_of_the_chi_distribution():
    low, high = SCIPY.chi.ppf([0.025, 0.975], 640)
    assert off_the_shell([low + 0.02, high - 0.02], 640) is None
    said = off_the_shell([low - 0.02, high + 0.02, math.sqrt(640)], 640)
    assert said.startswith("the noise of 2 of 3 samples is outside of the shell") and "23.9 to 26.7" in said
    assert said.endswith("or a looser budget.threshold")
    assert off_the_shell([36.2], 640, near=True).endswith("began near the query's own noise, which need not be typical")
    assert off_the_shell([36.2], 640) and off_the_shell([None, 36.2], 640), "one sample is enough"
    assert off_the_shell([None], 640) is None


def test_a_point_of_the_plane_has_no_shell():
    assert off_the_shell([5.0] * 8, 2) is None
