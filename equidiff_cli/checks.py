"""One line for a wrong value: the key, the value and what is accepted."""

import difflib
import sys


def number(key, value, *, minimum=None, above=None, maximum=None, whole=False):
    """Return `value` if it is a finite number within the bounds, else raise `ValueError` naming `key`.

    Args:
        minimum, above, maximum: inclusive lower bound, exclusive lower bound, inclusive upper bound.
        whole: whether it must be an integer.
    """
    kind = "a whole number" if whole else "a number"
    if (
        not isinstance(value, int if whole else (int, float))
        or isinstance(value, bool)
        or not (whole or abs(value) <= sys.float_info.max)
        or (minimum is not None and value < minimum)
        or (above is not None and value <= above)
        or (maximum is not None and value > maximum)
    ):
        raise ValueError(f"{key}={value}: must be {kind}{_bounds(minimum, above, maximum)}")
    return value


def word_or_number(key, value, *words, **bounds):
    """Return `value` if it is one of `words` or what `number` accepts, else raise `ValueError` naming `key`."""
    if value in words:
        return value
    try:
        return number(key, value, **bounds)
    except ValueError as error:
        raise ValueError(str(error).replace("must be", f"must be {', '.join(words)} or", 1)) from None


def _bounds(minimum, above, maximum):
    bounds = [f"at least {minimum}"] if minimum is not None else []
    bounds += [f"above {above}"] if above is not None else []
    bounds += [f"at most {maximum}"] if maximum is not None else []
    return " " + " and ".join(bounds) if bounds else ""


def one_of(key, value, options):
    """`value` as text if it is one of `options`, else raise `ValueError` listing the nearest of them first."""
    options = [str(option) for option in options]
    if str(value) not in options:
        raise ValueError(f"{key}={value}: {choices(value, options)}")
    return str(value)


def choices(value, options, most=12):
    """What to say of an unknown name: "use one of ..." with the nearest names of a long list."""
    options = list(options)
    if len(options) <= most:
        return f"use one of {', '.join(options)}"
    folded = {str(option).lower(): str(option) for option in options}
    near = difflib.get_close_matches(str(value).lower(), folded, n=6, cutoff=0.3)
    if not near:
        return f"none of {len(options)} names is near, the first are {', '.join(map(str, options[:6]))}"
    return f"the nearest of {len(options)} names are {', '.join(folded[name] for name in near)}"
