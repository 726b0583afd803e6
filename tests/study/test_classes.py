"""Classes of two networks matched by name, on lists written out and on two of ImageNet."""

from types import SimpleNamespace

import pytest

from equidiff_cli.study.classes import incomparable, matches

CIFAR = ("airplane", "automobile", "bird", "cat")


@pytest.mark.parametrize(
    ("mine", "other", "pairs"),
    [
        (CIFAR, CIFAR, [(0, 0), (1, 1), (2, 2), (3, 3)]),
        (CIFAR, ("dog", "Cat", "air-plane", "BIRD"), [(2, 3), (3, 1)]),  # "air plane" is not "airplane"
        (("polar_bear", "cat"), ("polar bear", "Polar-Bear ant"), [(0, 0)]),
        (CIFAR, ("kitty, cat", "plane, airplane"), [(0, 1), (3, 0)]),
        (("crane", "crane", "cat"), ("crane", "cat"), [(2, 1)]),  # which crane?
        (("crane", "cat"), ("crane, bird", "crane, machine", "cat"), [(1, 2)]),
        (("maillot", "maillot, tank suit"), ("maillot, tank suit", "maillot"), [(0, 1), (1, 0)]),
        (("cat, dog", "fox"), ("cat", "dog", "fox"), [(1, 2)]),  # one class of two others
        (("0", "1", "2"), ("0", "1", "2"), [(0, 0), (1, 1), (2, 2)]),
        (("0", "1", "2"), ("0", "1"), []),  # positions, not names
        (("0", "1"), ("1", "0"), []),
        (CIFAR, ("tench", "goldfish"), []),
    ],
)
def test_matches(mine, other, pairs):
    assert matches(mine, other) == pairs
    assert sorted((j, i) for i, j in pairs) == matches(other, mine)


def test_imagenet_in_another_order_matches_whole():
    from timm.data import ImageNetInfo

    info = ImageNetInfo("imagenet-1k")
    names = tuple(info.index_to_description(i) for i in range(1000))
    found = matches(names, names[::-1])
    assert len(found) > 990 and all(names[i] == names[::-1][j] for i, j in found)


def network(name, classes):
    if classes is not None:
        return SimpleNamespace(name=name, classes=classes)

    class Features:
        @property
        def classes(self):
            raise ValueError("no classes")

    return Features()


def test_what_cannot_be_compared_is_said_in_one_line():
    assert incomparable(network("a", CIFAR), network("b", ("cat", "bird"))) is None
    assert incomparable(network("a", CIFAR), network("b", None)) is None
    assert incomparable(network("a", None), network("b", CIFAR)) is None
    assert incomparable(network("a", CIFAR), network("b", ("tench", "goldfish"))) == (
        "its classes, 2 (tench, goldfish), are others than those of a, 4 (airplane, automobile, bird, ...):"
        " none of them have the same name"
    )
    assert ": 1 of them have the same name" in incomparable(network("a", CIFAR), network("b", ("cat", "ox")))
