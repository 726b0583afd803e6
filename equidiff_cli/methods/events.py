"""What every method yields: a `Step` for each step of the samples in work, a `Finished` for each sample that leaves.

The samples that leave in a step come before its `Step`.
"""

from dataclasses import dataclass

GOING, CONVERGED, BUDGET, NONFINITE = range(4)
STATUS = ("going", "converged", "budget", "nonfinite")


@dataclass(frozen=True)
class Step:
    """Every sample in the slots was measured and, unless it is finished, updated; lists have one entry a measurement.

    A method without gradients has None for their norms.
    """

    index: list[int]
    step: list[int]
    loss: list[float]
    loss_unfiltered: list[float]
    loss_filtered: list[float]
    grad_norm: list[float | None]
    latent_norm: list[float]


@dataclass(frozen=True)
class Finished:
    """A sample left its slot with the best pair it saw.

    Args:
        status: one of `STATUS` but "going".
        steps, evaluations: measurements of the loss, evaluations of the velocity network.
        best: what was measured, tensors on the CPU without a batch dimension: `loss`, `loss_unfiltered`,
            `loss_filtered`, `objective`, `objective_filtered`, `z_start`, `z`, `picture`.
        restarts: how often the sample began again from other noise.
    """

    index: int
    status: str
    steps: int
    evaluations: int
    seconds: float
    best: dict
    restarts: int = 0
