"""What the keys of the shipped priors accept. No torch here: a wrong value is told before it is imported."""

from collections.abc import Mapping, Sequence
from functools import partial

from equidiff_cli.checks import number, one_of

SOLVERS = ("euler", "heun")
RANDOM, QUERY = "random", "query"  # labels that are no class: each sample its own, the target's top class of the query
UNIFORM, MEAN = "uniform", "mean"  # of `prior.jumps`
ACCEPTED = {
    "prior.classes": lambda key, value: check_classes(key, value),
    "prior.image_size": partial(number, minimum=1, whole=True),
    "prior.label": lambda key, value: check_label(key, value),
    "prior.latent_multiplier": partial(number, above=0),
    "prior.noise_at": lambda key, value: one_of(key, value, (0, 1)),
    "prior.null_trained": lambda key, value: one_of(key, value, ("yes", "no", "not known")),
    "prior.omega": partial(number, minimum=1),
    "prior.shift": partial(number, above=0),
    "prior.solver": lambda key, value: one_of(key, value, SOLVERS),
    "prior.size": lambda key, value: one_of(key, value, SIZES),
    "prior.steps": partial(number, minimum=1, whole=True),
    "prior.t_max": partial(number, minimum=0, maximum=1),
    "prior.t_min": partial(number, minimum=0, maximum=1),
}
SIZES = ("B", "M", "L", "XL")  # of iMF


def check_solver(solver, steps, shift):
    """`ValueError` for options of the solver out of range."""
    for name, value in dict(solver=solver, steps=steps, shift=shift).items():
        ACCEPTED[f"prior.{name}"](f"prior.{name}", value)


def check_label(key, value):
    """`ValueError` for what is neither null nor a word nor the number of a class; whether there is such a class, only
    who knows the classes can tell."""
    if value is None or (isinstance(value, str) and value.strip()):
        return
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError(
            f"{key}={value}: must be null (no class), a class by its index or name, {QUERY} (the target's top class of"
            f" the query) or {RANDOM} (each sample its own)"
        )


def check_classes(key, value):
    """`ValueError` for what cannot be names of classes."""
    if value is not None and not isinstance(value, (str, Sequence, Mapping)):
        raise ValueError(f"{key}={value}: must be null, imagenet, a list of names, or a file with names")


def check_jumps(jumps, *, solver, shift, gradient_steps="all"):
    """`ValueError` for times of jumps that are none, and for what only a flow can be asked for.

    Args:
        jumps: None for a flow, "uniform", two gaps [a, b], or "mean", see `paths`.
        solver, shift: of the prior.
        gradient_steps: of the run.
    """
    if jumps is None:
        return
    if jumps not in (UNIFORM, MEAN):
        if not isinstance(jumps, Sequence) or isinstance(jumps, str) or len(jumps) != 2:
            raise ValueError(f"prior.jumps={jumps}: must be null, {UNIFORM}, or two gaps such as [0.001,0.6]")
        for gap in jumps:
            number("prior.jumps", gap, minimum=0, maximum=1)
        if not sum(jumps) < 1:
            raise ValueError(f"prior.jumps={list(jumps)}: the times go from the first gap to 1 minus the second")
    if solver != "euler":
        raise ValueError(
            f"prior.solver={solver}: this prior jumps from each time to the end, so there are no velocities at two ends"
            " of a step to take the mean of; use euler"
        )
    if shift != 1:
        raise ValueError(f"prior.shift={shift}: this prior jumps at times of its own, which nothing shifts; use 1")
    if gradient_steps != "all":
        raise ValueError(
            f"gradient_steps={gradient_steps}: this prior jumps, and what of the starting noise arrives at a later jump"
            " is scaled, so that the identity in place of earlier ones would be wrong; use all"
        )
