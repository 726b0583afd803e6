"""What a method needs besides the parts of a run: slots, a plan for memory, the scale of the loss."""

from equidiff_cli.engine.memory import Memory
from equidiff_cli.engine.plan import settle
from equidiff_cli.engine.slots import Slots
from equidiff_cli.engine.trial import varied
from equidiff_cli.errors import WrongRequest


def begin(parts):
    """Find where samples begin, if that is near the query, and keep how near it was found."""
    if hasattr(parts.prior, "find"):
        parts.prior.find()
        parts.summary["start"] = {"psnr": parts.prior.psnr, "near": list(parts.prior.near)}


def settled(parts):
    """The first `Plan` of a run: as asked, or as memory allows."""
    begin(parts)
    return settle(parts.batch, parts.checkpoint, parts.gradient_steps, len(parts.seeds), parts.prior, parts.question)


def slots_for(parts, size):
    """`Slots` in which every sample of a run waits."""
    return Slots(parts.seeds, size, parts.prior.device)


def null_distance(prior, question, samples, memory):
    """The null distance: the question's spread over unguided samples, in the unit of its distance, within `memory`; 0
    where the objective differs by rounding only.
    """

    def measure():
        batch = memory.plan.batch
        drawn = prior.unguided(samples, batch)
        return question.spread(drawn.clone(), batch) if varied(question.objective, drawn, batch) else 0.0

    return memory.attempt(measure)


def loss_scale(asked, spread):
    """lambda of line 11: as asked, or for "auto" such that a loss of 1 is the null distance."""
    if asked != "auto":
        return asked
    if not 0 < spread < float("inf"):
        hint = ", or hold what differs by more than rounding" if spread == 0 else ""
        raise WrongRequest(
            f"loss_scale=auto: the objective's spread over unguided samples is {spread}; give a number{hint}"
        )
    return 1 / spread


def start(parts):
    """(slots, memory) of a new run, with the scale of the loss set: all that `parts.method` still needs.

    slots, memory = start(parts)
    for event in parts.method(parts.prior, parts.question, slots, memory):
        ...
    """
    plan = settled(parts)
    memory = Memory(plan)
    spread = null_distance(parts.prior, parts.question, parts.null_samples, memory)
    parts.question.scale = loss_scale(parts.loss_scale, spread)
    return slots_for(parts, plan.batch), memory
