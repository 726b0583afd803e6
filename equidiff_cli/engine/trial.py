"""What is tried before anything is drawn: whether a function of pictures says the same of a picture each time, and
beside other pictures as alone, whether it varies by more than rounding, and whether gradients flow.

`eval()` is only a wish: functional dropout, layers in plain lists and batch statistics do not follow it.
"""

import torch

from equidiff_cli.engine.device import exact

SHARE = 0.005  # of the largest difference between trial pictures: what two measurements of one may differ by, besides
PLACES = 16  # so many units in the last place of the largest value in float32,
HALF_PLACES = 2  # or so many in the type of the values where that is coarser
JITTER = 2.0**-20  # relative change of pixels that nothing but rounding answers to
NOISE = 0.1  # of the largest difference: an answer to that change beyond which values are nothing but rounding


def pictures(query):
    """Four pictures (4, C, H, W) in [0, 1]: the query (1, C, H, W), its mirror image under some noise, a darker one
    of little contrast, and noise.
    """
    noise = _noise(query)
    return torch.cat([query, 0.9 * query.flip(-1) + 0.1 * noise, 0.3 * query, noise])


def try_question(question, query, what):
    """The difference (a number) between values of the objective above which they are not the same up to rounding.

    `ValueError` in one line for a question that no sample could answer; `what` is how to call it there.
    """
    if not question.target.isfinite().all():
        raise ValueError(f"{what}: is not a finite number for the query")
    tolerance = steady(question.objective, query, what)
    flowing(question, query, what)
    return tolerance


def steady(function, query, what):
    """As `try_question`, of any function of pictures (N, C, H, W) to values (N, ...): whether it says the same of a
    picture each time, and beside other pictures as alone, and more than rounding.
    """
    trial = pictures(query)
    alone, again = (torch.cat([measure(function, one) for one in trial.split(1)]) for _ in range(2))
    beside, twice = (measure(function, trial) for _ in range(2))
    changes = [1 - JITTER * _noise(query, seed).round() for seed in range(1, 5)]
    shaken = torch.cat([measure(function, query * change) for change in changes])
    tolerance = SHARE * span(alone) + rounding(alone) * alone.nan_to_num().abs().max().item()
    for first, second in ((alone, again), (beside, twice)):
        if off(first, second) > tolerance:
            raise ValueError(
                f"{what}: gives other values for the same picture each time{example(first, second)}; neither chance"
                " (dropout, noise) nor what earlier calls leave behind may play a part, also where eval() does not help"
            )
    largest = span(torch.cat([alone, beside, shaken]))
    if 0 < NOISE * largest < span(shaken):
        raise ValueError(
            f"{what}: is the same for all pictures up to rounding (differences of {largest:.2g}); hold what varies"
        )
    if off(alone, beside) > tolerance:
        raise ValueError(
            f"{what}: gives other values for a picture beside other pictures than alone{example(beside, alone)}; the"
            " values of a picture must depend on that picture only, not on a mean or statistics of the batch"
        )
    return tolerance


def flowing(question, query, what):
    """`ValueError` unless the gradients of both losses of a question reach pictures other than the query; what says the
    same of all of them, such as a neuron that sleeps, has none to let through.
    """
    others = torch.cat([0.95 * query + 0.05 * _noise(query), pictures(query)[1:]])
    for row, name in enumerate(("loss", "loss of the filtered pictures")):
        values = []
        for x in others.split(1):
            x = x.clone().requires_grad_()
            with torch.enable_grad():
                answers = question(x.clone())
            if not answers[row].requires_grad:
                raise ValueError(f"{what}: its {name} cannot be differentiated; no argmax, detach or no_grad in it")
            (gradient,) = torch.autograd.grad(answers[row].sum(), x, allow_unused=True)
            if gradient is not None and gradient.any():
                break
            values.append(answers[row + 2].detach())
        else:
            if span(torch.cat(values)) > 0:
                raise ValueError(
                    f"{what}: the gradient of its {name} is zero everywhere, so no step would change anything;"
                    " rounding (to 8 bits, say) and detach let none through: leave them out of what pictures go through"
                )


def varied(objective, drawn, batch):
    """Whether any of the values of an objective differs among pictures (M, C, H, W) by more than rounding."""
    values = None
    for part in drawn.split(batch):
        new = measure(objective, part)
        values = new if values is None else torch.cat([values, new])
        smallest = rounding(values) * values.abs().amax(0)
        if (values.amax(0) - values.amin(0) > smallest).any():
            return True
    return bool(values.isnan().any())


@torch.no_grad()
def measure(function, x):
    """Values (N, K) on the CPU."""
    with exact():
        return function(x.clone()).cpu().reshape(len(x), -1)


def rounding(values):
    """What values may be off by rounding, relative to the largest."""
    return max(PLACES * torch.finfo(torch.float32).eps, HALF_PLACES * torch.finfo(values.dtype).eps)


def span(values):
    """The largest difference between rows of values (N, K)."""
    values = values.nan_to_num()
    return (values.amax(0) - values.amin(0)).max().item()


def off(first, second):
    """The largest difference of values (N, K); where neither is finite there is none."""
    return (first.nan_to_num() - second.nan_to_num()).abs().max().item()


def example(first, second):
    """The two values that differ most, in brackets."""
    place = (first.nan_to_num() - second.nan_to_num()).abs().argmax()
    return f" ({first.flatten()[place].item():.5g}, {second.flatten()[place].item():.5g})"


def _noise(like, seed=0):
    return torch.rand(like.shape, generator=torch.Generator().manual_seed(seed)).to(like)
