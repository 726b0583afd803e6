"""Are the samples different pictures, or one picture again and again?"""

from collections.abc import Callable
from dataclasses import dataclass
from operator import methodcaller

import torch

from equidiff_cli.evaluation.perceptual import lpips_missing, lpips_pairs
from equidiff_cli.metrics.diversity import cosine_distances, gaussian_similarity, pairs, rms_distances, vendi_score
from equidiff_cli.study.features import seen
from equidiff_cli.study.findings import Section, words_beside
from equidiff_cli.study.metric import as_many, groups, groups_or_all, metric
from equidiff_cli.study.sets import Set, once

WORDS = words_beside(__file__)


def diversity(case):
    """The section `diversity` of a case."""
    section, space = Section("diversity", case, WORDS), pixels(case.unguided)
    compared(section, space, section.filled("spaces", "pixels"))
    for network in case.networks:
        compared(section, features(network), words_of(section, case, network))
    if case.heldout_reason:
        section.absent("distance_heldout", case.heldout_reason)
    section.add(distance_lpips, lpips_missing())
    if not case.no_query:
        section.column("query_distance", between(case.samples, case.query, space)[:, 0].tolist())
    return section


def words_of(section, case, network):
    """The words of the space of a network's features."""
    return section.filled("spaces", "features", network=network, seen=seen(network.target, case.query.pictures))


def compared(section, space, words):
    """The metrics of one space."""
    for one in (distance, nearest, query, vendi):
        section.add(one, say=words, space=space)


@dataclass(frozen=True, eq=False)
class Space:
    """Where pictures are compared.

    Args:
        key: a part of the names of its numbers.
        points: of a set, (N, ...) on the CPU.
        distances: of points, (N, ...) and (M, ...) -> (N, M).
        similarity: of distances (N, N), 1 for the same point, as `vendi_score` takes it.
    """

    key: str
    points: Callable[[Set], torch.Tensor]
    distances: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
    similarity: Callable[[torch.Tensor], torch.Tensor]


def pixels(unguided):
    """The space of pixels; its unit of similarity is the mean distance of unguided samples."""

    def points(set):
        return set.pictures.cpu()

    def similarity(distances):
        return gaussian_similarity(distances, scale)

    scale = pairs(rms_distances(points(unguided), points(unguided))).mean().item()
    return Space("pixels", points, rms_distances, similarity)


def features(network):
    """The space of a network's features."""
    return Space(network.key, methodcaller("features", network), cosine_distances, cosines)


def cosines(distances):
    return 1 - distances


def between(set, other, space):
    """Distances (N, M) of two sets."""
    return space.distances(space.points(set), space.points(other))


@once
def within(set, space):
    """Distances (N, N) of a set to itself."""
    return between(set, set, space)


@metric(needs=2, null=groups_or_all)
def distance(set, space):
    return pairs(within(set, space)).mean()


@metric(needs=2, null=groups_or_all)
def nearest(set, space):
    return pairs(within(set, space)).min()


@metric
def query(set, space):
    return between(set, set.case.query, space).mean()


@metric(needs=4, null=groups)
def vendi(set, space):
    return vendi_score(space.similarity(within(set, space)))


@metric(needs=2, null=as_many)
def distance_lpips(set):
    return lpips_pairs(set.pictures).mean()
