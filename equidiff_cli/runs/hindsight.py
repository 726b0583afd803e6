"""What the records of a finished run say against it, a line each: few samples converged, or noise that is not white."""

import math
from statistics import median

NORMAL = 1.959963984540054  # 95 % of a normal distribution lie within so many standard deviations
SHELL = 32  # dimensions from which white noise lies in a thin shell; with fewer, any norm is common


def advice(records, steps, threshold):
    """What to try where fewer than half of the samples converged; None where that is not so.

    Args:
        records: of all samples, as in `samples.jsonl`.
        steps, threshold: the budget.
    """
    converged = sum(record["status"] == "converged" for record in records)
    if 2 * converged >= len(records):
        return None
    few = f"{converged} of {len(records)} samples converged"
    tried = [record["loss"] for record in records if record["status"] == "budget" and record["loss"] is not None]
    if not tried:
        return f"{few}, the losses of the others are not finite: try precision=fp32, or another optimizer"
    return (
        f"{few}; the losses that the others reached have the median {median(tried):.2g} and begin at {min(tried):.2g}:"
        f" try more than budget.steps={steps}, a looser budget.threshold than {threshold:g}, another optimizer or"
        " optimizer.lr, or another loss_scale"
    )


def off_the_shell(norms, dimensions, near=False):
    """A warning where more samples than chance explains have noise of a norm that white noise seldom has, or None.

    The norm of white noise in d dimensions is near normal, sqrt(d - 1/2) +- sqrt(1/2) (Fisher 1922). A sample is off if
    it is outside of the 95 % of that. So many of them are too many as 95 % of runs of white noise do not have.

    Args:
        norms: of the starting noise of each sample; None where unknown.
        dimensions: d.
        near: whether samples began near the query's own noise, which need not be typical itself.
    """
    known = [norm for norm in norms if norm is not None]
    if dimensions < SHELL or not known:
        return None
    middle, half = math.sqrt(dimensions - 0.5), NORMAL * math.sqrt(0.5)
    off = sum(abs(norm - middle) > half for norm in known)
    if not off or chance(off, len(known)) > 0.0501:  # a single sample that is off counts
        return None
    advice = "try optimizer.noise=sphere, a smaller optimizer.lr if there is one, or a looser budget.threshold"
    return (
        f"the noise of {off} of {len(known)} samples is outside of the shell of white noise that the prior was trained"
        f" on: its norm is {median(known):.1f} at the median, 95 % of white noise has {middle - half:.1f} to"
        f" {middle + half:.1f}; such pictures may show too strong contrasts or stripes; "
        + ("they began near the query's own noise, which need not be typical" if near else advice)
    )


def chance(count, total, share=0.05):
    """The probability that `count` or more of `total` independent events happen, each with probability `share`."""
    return sum(math.comb(total, k) * share**k * (1 - share) ** (total - k) for k in range(count, total + 1))
