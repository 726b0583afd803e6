"""What the members of a run are held against: the law of the invariant set itself, the prior conditioned on the value.

From a run of `method=rejection` of the same request, or from unguided samples: those within a tolerance where they are
enough, else all of them by weights.
"""

from dataclasses import dataclass

import torch

from equidiff_cli.methods.rejection import Rejection
from equidiff_cli.metrics.weighted import CUT, effective, gaussian_weights, thinned
from equidiff_cli.request.groups import kind, plain
from equidiff_cli.request.question import is_endless
from equidiff_cli.study.members import Members, read
from equidiff_cli.study.sets import Set

ENOUGH = 32  # unguided samples within the tolerance, from which on no weights are needed
FEWEST = 8  # effective samples, below which nothing is said of the law
SAME = ("prior", "target", "question", "objective", "filter", "robust")  # groups that the law depends on
REGION = ("region", "region_role")  # keys that it depends on, besides the mask
METHOD = f"{Rejection.__module__}.{Rejection.__name__}"


@dataclass
class Law:
    """Samples that stand for the law, or the reason why there are none.

    Args:
        set: the `Set` of them, None if there are too few.
        weights: (M,), all 1 where they are exact.
        about: what they are, in words.
        reason: why nothing can be said, or None.
        count: how many samples count, effectively.
    """

    set: Set | None
    weights: torch.Tensor
    about: str
    reason: str | None
    count: float

    def even(self, seed):
        """The rows of samples that all count the same, in order."""
        return thinned(self.weights, seed).nonzero().flatten()


def law_of(case) -> Law:
    """The `Law` for a `Case`, as `options.typical` says; `ValueError` for a run that is none of the same request."""
    asked, none = case.options.typical, torch.ones(0)
    if asked == 0:
        return Law(None, none, "", "typical=0 switches it off", 0.0)
    if reason := like_the_query(case.run.config) or without_end(case.run.config):
        return Law(None, none, "", reason, 0.0)
    if isinstance(asked, str) and asked != "auto":
        pictures = accepted(case.run, read(asked)).to(case.prior.device)
        return known(case, pictures, torch.ones(len(pictures)), f"{len(pictures)} samples of {asked}")
    pool = case.unguided if asked == "auto" else Set(case, case.pool(asked).pictures)
    far = distances(case, pool)
    tolerance, bandwidth = case.options.typical_tolerance, case.options.bandwidth
    within = far <= tolerance
    exact, of = int(within.sum()), f"of {len(pool)} unguided ones"
    if exact >= ENOUGH:
        about = f"the set is {exact} {of} within {tolerance:g} null spreads"
        return known(case, pool.pictures[within], torch.ones(exact), about)
    weights = gaussian_weights(far, bandwidth)
    about = f"the set is {effective(weights):.3g} effective samples {of}, weighted with a bandwidth of {bandwidth:g}"
    return known(case, pool.pictures[weights > 0], weights[weights > 0], about)


def like_the_query(config):
    """Why members of a run with this configuration are like the query by the way they are drawn, whatever their value
    says; None where they are not. They have no law that the value alone explains.
    """
    if config.get("region") is not None and config.region_role == "free":
        return "samples keep the query's pixels outside of the region"
    if config.get("near") is not None or kind(config.question) == "Counterfactual":
        return "samples begin near the query"
    return None


def without_end(config):
    """Why there is no value whose set has a law, or None."""
    return "values were raised or lowered without end, so there is no set" if is_endless(config) else None


def known(case, pictures, weights, about):
    """The `Law` of these pictures, if they are enough."""
    count = effective(weights)
    if count < FEWEST:
        return Law(None, weights, about, f"{about}; at least {FEWEST} are needed", count)
    return Law(Set(case, pictures), weights, about, None, count)


def distances(case, set):
    """How far pictures are from the set (N,), in null spreads: the larger of the value's error and of that of the
    filtered picture; infinite where the value alone is too far off to count.
    """
    far, options = set.errors.clone(), case.options
    near = far <= max(options.typical_tolerance, CUT * options.bandwidth)
    far[~near] = float("inf")
    if not near.any():  # no transform takes an empty batch
        return far
    filtered = case.off(case.measure(case.lowpass(set.pictures[near].clone())))
    far[near] = torch.maximum(far[near], filtered.view(-1, int(near.sum())).amax(0))  # under every cutoff
    return far


def accepted(run: Members, reference: Members):
    """The accepted pictures (M, 3, H, W) of a run by rejection; `ValueError` if it does not ask what `run` asks."""
    where = f"typical={reference.path}"
    if (method := reference.config.method.get("_target_")) != METHOD:
        raise ValueError(f"{where}: was drawn with method._target_={method}; give a run of method=rejection")
    for group in SAME:
        mine, theirs = (plain(one.config[group]) if group in one.config else {} for one in (run, reference))
        if mine != theirs:
            key = next(key for key in {**mine, **theirs} if mine.get(key) != theirs.get(key))
            raise ValueError(
                f"{where}: was drawn with {group}.{key}={theirs.get(key)}, {run.path} with {mine.get(key)}; give a run"
                " of the same request"
            )
    for key in REGION:
        if (mine := run.config.get(key)) != (theirs := reference.config.get(key)):
            raise ValueError(
                f"{where}: was drawn with {key}={theirs}, {run.path} with {mine}; give a run of the same request"
            )
    if run.region is not None and not torch.equal(run.region, reference.region):
        raise ValueError(f"{where}: has another region than {run.path}; give a run of the same request")
    if reference.query.shape != run.query.shape or not torch.equal(reference.query, run.query):
        raise ValueError(f"{where}: has another query than {run.path}; give a run of the same request")
    if reference.weights and run.weights and reference.weights != run.weights:
        raise ValueError(f"{where}: was drawn with other weights than {run.path}; give a run of the same request")
    hits = torch.tensor([record["status"] == "converged" for record in reference.records])
    return reference.pictures[hits]
