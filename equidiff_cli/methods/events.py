"""What every method yields: a `Step` for each step of the samples in work, a `Finished` for each sample that leaves; a
method of Markov chains also a `Kept` for each state that it keeps.

States and samples that leave in a step come before its `Step`, in this order.
"""

from dataclasses import dataclass, field

GOING, CONVERGED, BUDGET, NONFINITE = range(4)
STATUS = ("going", "converged", "budget", "nonfinite")


@dataclass(frozen=True)
class Step:
    """Every sample in the slots was measured and, unless it is finished, updated; lists have one entry a measurement.

    A method without gradients has None for their norms. `moves` says of Markov chains how many each has made, -1 before
    it begins.
    """

    index: list[int]
    step: list[int]
    loss: list[float]
    loss_unfiltered: list[float]
    loss_filtered: list[float]
    grad_norm: list[float | None]
    latent_norm: list[float]
    moves: list[int] | None = None


@dataclass(frozen=True)
class Finished:
    """A sample left its slot with the best pair it saw.

    Args:
        status: one of `STATUS` but "going".
        steps, evaluations: measurements of the loss, evaluations of the velocity network.
        best: what was measured, tensors on the CPU without a batch dimension: `loss`, `loss_unfiltered`,
            `loss_filtered`, `objective`, `objective_filtered`, `z_start`, `z`, `picture`; a method that starts
            from no noise leaves the two latents out.
        restarts: how often the sample began again from other noise.
        notes: what else its record says, plain numbers by name.
    """

    index: int
    status: str
    steps: int
    evaluations: int
    seconds: float
    best: dict
    restarts: int = 0
    notes: dict = field(default_factory=dict)


@dataclass(frozen=True)
class Kept:
    """A state of a sample's chain that is kept.

    Args:
        number, move: which of the kept states it is, from 0; after how many moves of the chain.
        state: what was measured, as `best` of `Finished`.
    """

    index: int
    number: int
    move: int
    state: dict
