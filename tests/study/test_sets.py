"""Sets: what is computed of them is computed once, and parts take their share."""

from types import SimpleNamespace

import torch

from equidiff_cli.study.sets import Network, Set, each, once
from equidiff_cli.target.small import embedded


def pictures(n=6, side=2):
    return torch.rand(n, 3, side, side, generator=torch.Generator().manual_seed(0))


def test_a_part_is_the_same_object_every_time():
    whole = Set(None, pictures(), {"z": torch.arange(6)}, torch.arange(6)[:, None], failures=2, evaluations=9)
    part = whole[1:4]
    assert part is whole[1:4] and whole[:6] is whole and whole[:9] is whole and whole[-1:] is whole[5:]
    assert torch.equal(part.pictures, whole.pictures[1:4]) and part.latents["z"].tolist() == [1, 2, 3]
    assert part.recorded.flatten().tolist() == [1, 2, 3] and (part.failures, part.evaluations) == (0, 0)
    assert Set(None, pictures())[:1].latents is None


def test_a_row_a_picture_is_computed_once_for_the_whole():
    calls = []

    @each
    def sums(set, factor):
        calls.append(len(set))
        return factor * set.pictures.sum((1, 2, 3))

    whole = Set(None, pictures())
    assert torch.equal(sums(whole[2:5][1:], 2), 2 * whole.pictures.sum((1, 2, 3))[3:5])
    assert torch.equal(sums(whole, 2)[3:5], sums(whole[3:5], 2)) and calls == [6]
    assert torch.equal(sums(whole, 3)[0], 3 * whole.pictures[0].sum()) and calls == [6, 6]


def test_once_is_for_each_set_apart():
    @once
    def size(set):
        sizes.append(len(set))
        return len(set)

    sizes, whole = [], Set(None, pictures())
    assert [size(whole), size(whole), size(whole[:2]), size(whole[:2])] == [6, 6, 2, 2] and sizes == [6, 2]


def test_values_and_errors_are_those_of_the_case():
    case = SimpleNamespace(measure=lambda x: x.mean((2, 3)), off=lambda values: values.norm(dim=1) / 0.5)
    whole = Set(case, pictures())
    assert torch.equal(whole[2:].values, whole.pictures.mean((2, 3))[2:])
    torch.testing.assert_close(whole[2:].errors, whole.pictures.mean((2, 3))[2:].norm(dim=1) / 0.5)


def test_what_a_network_sees():
    target = embedded("smallconv")
    network = Network("target", target.name, "the target", target.classes, target)
    whole = Set(SimpleNamespace(options=SimpleNamespace(batch=4)), pictures(side=32))
    torch.testing.assert_close(whole[4:].logits(network), target(whole.pictures)[4:])
    assert whole[4:].features(network).shape == (2, len(target.model.fc.weight[0]))
