"""What every method yields: a `Step` for each step, a `Finished` for each sample that leaves."""

from dataclasses import dataclass

GOING, CONVERGED, BUDGET, NONFINITE = range(4)
STATUS = ("going", "converged", "budget", "nonfinite")


@dataclass(frozen=True)
class Step:
    """Every sample in the slots was measured once and, unless it is finished, updated; lists have one entry a slot."""

    index: list[int]
    step: list[int]
    loss: list[float]
    loss_unfiltered: list[float]
    loss_filtered: list[float]
    grad_norm: list[float]
    latent_norm: list[float]


@dataclass(frozen=True)
class Finished:
    """A sample left its slot with the best pair it saw; tensors are on the CPU, without a batch dimension."""

    index: int
    status: str
    steps: int
    seconds: float
    best: dict
