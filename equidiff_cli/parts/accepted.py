"""What the keys of the shipped parts accept. No torch here: a wrong value is told before it is imported."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from equidiff_cli.checks import number, one_of

LEAST = 1e-6  # cutoff; far below what any picture has, and far above what float32 takes for zero


def accepted(key, value):
    """`value` if the key of a shipped part accepts it, else `ValueError`; the key is as in "filter.cutoff"."""
    return ACCEPTED[key](key, value)


def _decay(key, value):
    """A number in [0, 1)."""
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 <= value < 1:
        raise ValueError(f"{key}={value}: must be a number at least 0 and below 1")
    return value


def _decays(key, values):
    """Two of them."""
    if not isinstance(values, Sequence) or isinstance(values, str) or len(values) != 2:
        raise ValueError(f"{key}={values}: must be two numbers at least 0 and below 1")
    return tuple(_decay(key, value) for value in values)


def _numbers(key, value):
    """A number or a list of them, as a list."""
    several = isinstance(value, Sequence) and not isinstance(value, str)
    if several and not value:
        raise ValueError(f"{key}={value}: must be a number, or a list of numbers")
    return [float(number(key, one)) for one in (value if several else [value])]


def _optional(check):
    """What `check` accepts, or null."""
    return lambda key, value: None if value is None else check(key, value)


def _truth(key, value):
    if not isinstance(value, bool):
        raise ValueError(f"{key}={value}: must be true or false")
    return value


def _share_or_none(key, value):
    """A number in (0, 1), or None."""
    if value is not None and (isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < 1):
        raise ValueError(f"{key}={value}: must be null or a number above 0 and below 1")
    return value


def _folder(key, value):
    if not isinstance(value, str) or not Path(value).is_dir():
        raise ValueError(f"{key}={value}: there is no such folder; give a folder of pictures")
    return value


def _word(*options):
    return lambda key, value: one_of(key, value, options)


def _cutoffs(key, value):
    """A cutoff or several."""
    several = isinstance(value, Sequence) and not isinstance(value, str)
    if several and not value:
        raise ValueError(f"{key}=[]: must be a number or a list of numbers, such as {key}=[0.25,0.5]")
    for one in value if several else [value]:
        number(key, one, minimum=LEAST, maximum=1)
    return tuple(value) if several else value


def _quality(key, value):
    """Of a JPEG file, or none."""
    return value if value is None else number(key, value, minimum=1, maximum=95, whole=True)


_positive = partial(number, above=0)
ACCEPTED = {
    "distance.delta": _positive,
    "filter.cutoff": _cutoffs,
    "filter.order": partial(number, minimum=1, whole=True),
    "method.pool": partial(number, minimum=1, whole=True),
    "method.aim": _share_or_none,
    "method.angle": partial(number, above=0, maximum=1.5),
    "method.churn": partial(number, minimum=0, maximum=1),
    "method.every": partial(number, minimum=1, whole=True),
    "method.forget": partial(number, minimum=0, whole=True),
    "method.frequency": partial(number, minimum=0),
    "method.hold": _decay,
    "method.inner": partial(number, minimum=1, whole=True),
    "method.iterations": partial(number, minimum=1, whole=True),
    "method.jitter": partial(number, minimum=0, whole=True),
    "method.keep": partial(number, minimum=1, whole=True),
    "method.lr": _positive,
    "method.normalize": _truth,
    "method.rate": partial(number, above=0, maximum=1),
    "method.real": _folder,
    "method.rotations": partial(number, minimum=1, whole=True),
    "method.scale": _positive,
    "method.schedule": _word("flat", "bayes"),
    "method.space": _word("fourier", "pixels"),
    "method.through": _truth,
    "method.tolerance": _positive,
    "method.tv": partial(number, minimum=0),
    "objective.pool": _word("mean", "max", "none"),
    "objective.reduce": _word("mean", "max"),
    "optimizer.betas": _decays,
    "optimizer.damping": partial(number, minimum=0),
    "optimizer.epsilon": _positive,
    "optimizer.longest": _positive,
    "optimizer.lr": _positive,
    "optimizer.momentum": _decay,
    "optimizer.most": partial(number, minimum=1, whole=True),
    "optimizer.noise": _word("free", "sphere", "white"),
    "optimizer.normalize": _truth,
    "question.change": _optional(number),
    "question.margin": _positive,
    "question.percentile": _optional(partial(number, minimum=0, maximum=100)),
    "question.stay": partial(number, minimum=0),
    "question.stride": _positive,
    "question.value": _optional(_numbers),
    "robust.contrast": _positive,
    "robust.jpeg": _quality,
    "robust.mirror": _truth,
    "robust.noise": partial(number, minimum=0),
    "robust.shift": partial(number, minimum=0, maximum=0.5),
}
