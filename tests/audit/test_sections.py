"""The sections of an audit by themselves: what stands for what, clusters that are there, handling, detectors."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy import ndimage

from equidiff_cli.audit import clusters, detector, disagreement, holding, network, robustness
from equidiff_cli.study.sets import Network


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def row(**changes):
    """An attribute that is as chance, but for changes."""
    plain = {"spread_q": 1.0, "shift_q": 1.0, "ratio": 1.0, "shift": 0.0, "query": 0.0, "mean": 0.0, "std": 1.0}
    return plain | {"ratio_interval": [0.8, 1.2], "shift_interval": [-0.3, 0.3]} | changes


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "ignored"),
        ({"ratio_interval": [0.4, 1.2]}, "unclear"),
        ({"shift_interval": [-0.2, 0.9]}, "unclear"),
        ({"spread_q": 0.01, "ratio": 0.3, "std": 0.3}, "held"),
        ({"spread_q": 0.01, "ratio": 0.3, "std": 0.3, "query": 1.0}, "narrower"),
        ({"spread_q": 0.01, "ratio": 0.3, "std": 0.3, "query": 1.0, "shift_q": 0.01}, "moved"),
        ({"spread_q": 0.01, "ratio": 2.0}, "wider"),
        ({"shift_q": 0.01, "shift": 1.0}, "moved"),
    ],
)
def test_what_an_attribute_is_called(changes, expected):
    assert holding.standing(row(**changes)) == expected


def test_the_law_contradicts_what_the_way_of_drawing_did():
    held = row(standing="held", ratio=0.3)
    assert holding.agrees(held | {"law_ratio": 0.4}) and not holding.agrees(held | {"law_ratio": 1.0})
    moved = row(standing="moved", shift=1.0)
    assert holding.agrees(moved | {"law_shift": 0.8})
    assert not holding.agrees(moved | {"law_shift": -0.2}) and not holding.agrees(moved | {"law_shift": 0.1})


def test_what_is_held_is_found_among_many():
    members, unguided = normal(24, 40), normal(256, 40, seed=1)
    members[:, 7] = 0.25 * members[:, 7]
    members[:, 9] += 1.5
    found = holding.against(members, unguided, 4999, 0)
    significant = (found["spread_q"] < 0.05).nonzero().flatten().tolist(), (found["shift_q"] < 0.05).nonzero().flatten()
    assert significant[0] == [7] and significant[1].tolist() == [9]
    assert set(found["bits"].argsort(descending=True)[:2].tolist()) == {7, 9}


def test_clusters_that_are_there_are_found():
    apart = torch.cat([normal(12, 5), normal(8, 5, seed=1) + 12, normal(10, 5, seed=2) - 12])
    assert clusters.eigengap(clusters.similarity(apart))[0] == 3
    assert clusters.eigengap(clusters.similarity(normal(40, 5)))[0] == 1


def test_clusters_are_described_by_what_tells_them():
    mine, chance = (torch.cat([normal(n, 4), normal(n, 4, seed=1) + 15]) for n in (10, 5))
    flag = (mine[:, 0] > 7).double()
    varied = [SimpleNamespace(name=name, title=name, low="less", high="more") for name in ("noise", "flag")]
    table = torch.stack([normal(20, seed=3), flag], 1)
    subject = SimpleNamespace(
        case=SimpleNamespace(options=SimpleNamespace(seed=0)),
        varied=varied,
        members=None,
        table=lambda set: table,
        files=[f"{i}.png" for i in range(20)],
    )
    found = clusters.found(subject, mine, chance)
    assert found["count"] == 2 and [one["size"] for one in found["clusters"]] == [10, 10]
    assert all(one["unguided_share"] == 0.5 and one["telling"][0]["name"] == "flag" for one in found["clusters"])
    assert {one["telling"][0]["end"] for one in found["clusters"]} == {"less", "more"}


def test_maps_are_where_the_value_depends_on_the_picture():
    weight = torch.zeros(3, 16, 16)
    weight[:, :4, 8:12] = 1.0
    case = SimpleNamespace(options=SimpleNamespace(batch=2), objective=lambda x: (x * weight).sum((1, 2, 3))[:, None])
    found = clusters.maps(case, SimpleNamespace(pictures=torch.rand(3, 3, 16, 16))).view(3, 8, 8)
    assert found.sum((1, 2)).tolist() == pytest.approx([1, 1, 1])
    assert (found > 0).nonzero()[:, 1:].unique(dim=0).tolist() == [[0, 4], [0, 5], [1, 4], [1, 5]]


def test_the_target_alone():
    """Three pictures: both networks say class 1, the target alone does, neither does."""
    of = {"target": torch.tensor([[0.0, 2], [0, 3], [4, 0]]), "other": torch.tensor([[0.0, 1], [2, 0], [1, 0]])}
    set = SimpleNamespace(logits=lambda network: of[network.key])
    target, other = (Network(key, key, key, ("a", "b"), None) for key in of)
    alone, doubt = disagreement.alone_in(set, target, 1, {other: 1})
    assert alone.tolist() == [False, True, False]
    p = [logits.double().softmax(1)[:, 1] for logits in of.values()]
    torch.testing.assert_close(doubt, p[0] - p[1])


def test_a_blur_is_that_of_scipy():
    x = torch.rand(1, 3, 12, 12, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    expected = ndimage.gaussian_filter(x[0].numpy(), (0, 1, 1), mode="mirror", radius=3)
    np.testing.assert_allclose(robustness.blurred(x)[0], expected, atol=1e-9)


def test_handling_keeps_plain_pictures():
    x = torch.full((1, 3, 16, 16), 0.4)
    torch.testing.assert_close(robustness.cropped(x), x)
    assert robustness.noisy(x, 0).std().item() == pytest.approx(8 / 255, rel=0.1)


def test_a_detector_tells_noise_and_does_not_tell_equals():
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(40, 3, 16, 16, generator=generator)
    smooth = torch.nn.functional.avg_pool2d(x, 3, 1, 1)
    area, low, high = detector.told(detector.traces(x), detector.traces(smooth), 0)
    assert area > 0.99 and low > 0.95
    area, low, high = detector.told(detector.traces(x[:20]), detector.traces(x[20:]), 0)
    assert low < 0.5 < high or abs(area - 0.5) < 0.25


def test_many_audits_say_one_thing():
    together = network.Together()
    for i in range(5):
        rows = [
            {"name": "a", "title": "A", "standing": "held" if i < 4 else "unclear", "law": "agrees", "bits": 2.0},
            {"name": "b", "title": "B", "standing": "moved", "law": "disagrees", "bits": 9.0},
        ]
        apart = {"class": "cat", "share": i / 10, "unguided_share": 0.0}
        together.take(f"run{i}", {"target": "net", "members": 8, "attributes": rows, "disagreement": apart})
    found = together.summary()
    assert found["answer"] == "In most queries the network looks at A (in 4 of 5)."
    assert [row["name"] for row in found["attributes"]] == ["a", "b"] and found["attributes"][1]["moved"] == 0
    assert found["classes"] == [{"class": "cat", "queries": 5, "share": pytest.approx(0.2), "unguided_share": 0.0}]
    assert found["worst"][0] == {"run": "run4", "excess": 0.4} and found["members"] == 40
