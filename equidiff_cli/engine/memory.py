"""When memory runs out: more recomputation, then smaller batches, then a clear message; no sample is lost."""

import gc
import logging

import torch

from equidiff_cli.errors import Exhausted

log = logging.getLogger(__name__)
WORDS = ("DefaultCPUAllocator", "not enough memory", "CUBLAS_STATUS_ALLOC_FAILED", "MPS backend out of memory")


class Memory:
    """Keeps a run within memory.

    Args:
        plan: a `Plan`, the first to try; `plan` is always the one to work by now.
    """

    def __init__(self, plan):
        self.plan = plan

    def attempt(self, function):
        """What `function()` returns; where memory runs out, it is called again with a lighter plan.

        `function` must change nothing before its last allocation. Raises `Exhausted` if there is no lighter plan.
        """
        while True:
            try:
                return function()
            except (RuntimeError, MemoryError) as error:
                if not exhausted(error):
                    raise
            self.lighten()  # not inside `except`, where the error still holds what the failed call had allocated

    def lighten(self):
        """Free what can be freed and follow the next lighter plan."""
        gc.collect()
        if torch.cuda.is_initialized():
            torch.cuda.empty_cache()
        plan = self.plan.lighter()
        if plan is None:
            raise Exhausted(
                f"out of memory with {self.plan}; finished samples are kept and the same command with hydra.run.dir=..."
                " goes on where there is more memory; smaller networks or pictures need less"
            )
        log.warning("out of memory with %s; going on with %s", self.plan, plan)
        self.plan = plan


def exhausted(error):
    """Whether an error says that memory ran out; on a CPU torch has no class of its own for it."""
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or any(word in str(error) for word in WORDS)
