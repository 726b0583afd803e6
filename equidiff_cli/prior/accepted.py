"""What the keys of the shipped priors accept. No torch here: a wrong value is told before it is imported."""

from functools import partial

from equidiff_cli.checks import number, one_of

SOLVERS = ("euler", "heun")
ACCEPTED = {
    "prior.image_size": partial(number, minimum=1, whole=True),
    "prior.latent_multiplier": partial(number, above=0),
    "prior.shift": partial(number, above=0),
    "prior.solver": lambda key, value: one_of(key, value, SOLVERS),
    "prior.steps": partial(number, minimum=1, whole=True),
}


def check_solver(solver, steps, shift):
    """`ValueError` for options of the solver out of range."""
    for name, value in dict(solver=solver, steps=steps, shift=shift).items():
        ACCEPTED[f"prior.{name}"](f"prior.{name}", value)
