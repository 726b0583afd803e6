"""Agreement of networks on logits written out."""

import math

import numpy as np
import pytest
import torch
from scipy.spatial.distance import jensenshannon

from equidiff_cli.metrics.agreement import class_logit_errors, jensen_shannon, same_class

LOGITS = torch.tensor([[1.0, 3.0, 0.0], [5.0, 3.0, 0.0], [0.0, 1.0, 0.9]])
QUERY = torch.tensor([0.0, 2.0, 1.0])


def test_same_class_and_logit():
    assert same_class(LOGITS, QUERY).tolist() == [True, False, True]
    assert class_logit_errors(LOGITS, QUERY, 1).tolist() == [1, 1, 1]
    assert class_logit_errors(LOGITS, QUERY, 2).tolist() == pytest.approx([1, 1, 0.1])


def test_jensen_shannon_against_scipy():
    p, q = LOGITS.softmax(1).numpy(), QUERY.softmax(0).numpy()
    expected = [jensenshannon(row, q, base=2) ** 2 for row in p]
    np.testing.assert_allclose(jensen_shannon(LOGITS, QUERY), expected, rtol=1e-5)


def test_jensen_shannon_of_two_networks_is_row_by_row():
    rows = [jensen_shannon(LOGITS[i : i + 1], LOGITS.flip(0)[i]).item() for i in range(3)]
    assert jensen_shannon(LOGITS, LOGITS.flip(0)).tolist() == pytest.approx(rows) and rows[1] == 0 < rows[0]


def test_jensen_shannon_ranges_from_equal_to_disjoint():
    assert jensen_shannon(QUERY[None], QUERY).item() == pytest.approx(0, abs=1e-12)
    sure = torch.tensor([[100.0, 0.0], [0.0, 100.0]])
    assert jensen_shannon(sure, sure[0]).tolist() == pytest.approx([0, 1])
    assert not math.isnan(jensen_shannon(torch.tensor([[2000.0, -2000.0]]), sure[1]).item())
