"""The table of what is typical: its rows are those of the samples that they name, by other means."""

import pytest
import torch

from equidiff_cli.parts.filters import Gaussian
from equidiff_cli.prior.embedded import Embedded
from equidiff_cli.target.small import embedded
from scripts.measure import typical

SETTING = "optimizer=gauss_newton budget.steps=1 null_samples=16"


def test_the_rows_are_the_set_chance_and_every_setting(tmp_path):
    rows = typical.measure("ship", [SETTING], 4, 24, 4.0, tmp_path)
    assert list(rows) == ["the set", "unguided", SETTING]
    assert len({tuple(row) for row in rows.values()}) == 1, "the same columns"
    options = dict(image_size=32, solver="euler", steps=4, shift=1.0)
    prior, network, ship = Embedded(**options).build(torch.device("cpu"), torch.float32), embedded("smallresnet"), 8
    with torch.no_grad():
        x = (prior.unguided(24, 16) * 255).round() / 255
        seen = network(x).softmax(1)[:, ship]
        share = float(rows["unguided"]["held-out share"].split()[0])
        assert share == pytest.approx(seen[:4].mean().item(), abs=0.006)
        query = (prior.sample(prior.noise(typical.QUERIES["ship"])[None], 1) * 255).round() / 255
        target, blurred = embedded("smallconv"), Gaussian(0.5)
        spread = target(prior.unguided(16, 16))[:, ship].std(unbiased=False)
        off = [(target(view)[:, ship] - target(query)[0, ship]).abs() / spread for view in (x, blurred(x))]
        weights = torch.exp(-0.5 * (torch.maximum(*off) / 4) ** 2) * (torch.maximum(*off) <= 12)
        expected = (weights * seen).sum() / weights.sum()
        assert float(rows["the set"]["held-out share"].split()[0]) == pytest.approx(expected.item(), abs=0.006)
    assert rows[SETTING]["evaluations"] == "1.0"
