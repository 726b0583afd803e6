"""How many samples at once and how many solver steps to compute again: as configured, or as memory allows."""

import os
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from equidiff_cli.engine.memory import exhausted
from equidiff_cli.prior.sampler import Adjoint

MOST = {"cuda": 32}  # samples that batch=auto takes at once, however much memory there is
MOST_ELSEWHERE = 16  # on a CPU larger batches are hardly faster
SHARE = {"cuda": 0.85}  # of the free memory that a plan may fill
SHARE_ELSEWHERE = 0.5  # main memory has other users, and Linux kills the process that takes too much
WORKSPACE = 1.25  # memory for a moment's results and gradients, relative to what is kept for the backward pass


@dataclass(frozen=True)
class Plan:
    """What is held in memory at once.

    Args:
        batch: samples that pass through the networks together.
        steps: solver steps that the gradient goes through.
        recompute: how many of these, from the first, keep only their latent; the rest of them is computed again in the
            backward pass.
        decoder: whether the decoder's blocks are computed again, too.
    """

    batch: int
    steps: int
    recompute: int
    decoder: bool = False

    @property
    def adjoint(self):
        """How to differentiate by this plan."""
        return Adjoint(self.steps, self.recompute, self.decoder)

    def lighter(self):
        """The next plan that needs less memory: first more recomputation, then half the batch; None at the end."""
        kept = self.steps - self.recompute
        if kept:
            return replace(self, recompute=self.steps - kept // 2)
        if not self.decoder:
            return replace(self, decoder=True)
        return replace(self, batch=self.batch // 2) if self.batch > 1 else None

    def __str__(self):
        too = " and the decoder" if self.decoder else ""
        return f"batch={self.batch}, {self.recompute} of {self.steps} solver steps{too} recomputed"


def settle(batch, checkpoint, gradient_steps, samples, prior, question):
    """The `Plan` for what was asked; what is "auto" follows from what one sample keeps in memory and what is free.

    The batch comes first: as many samples as fit with the recomputation asked for (all of it if that is "auto"). What
    memory is left then goes to solver steps that need not be computed again.

    Args:
        batch: a number or "auto".
        checkpoint: "auto", "all", "none", or how many solver steps to compute again.
        gradient_steps: "all", or through how many solver steps, the last ones, the gradient goes.
        samples: how many there are to draw.
        prior, question: what a sample passes through.
    """
    steps = prior.steps if gradient_steps == "all" else gradient_steps
    recompute = {"all": steps, "auto": steps, "none": 0}.get(checkpoint, checkpoint)
    plan = Plan(batch, steps, min(recompute, steps))
    if "auto" not in (batch, checkpoint):
        return plan
    try:
        step, rest = (max(size, 1) for size in footprint(prior, question))
    except (RuntimeError, MemoryError) as error:
        if not exhausted(error):
            raise
        return Plan(1 if batch == "auto" else batch, steps, steps, decoder=True)
    room = available(prior.device) * SHARE.get(prior.device.type, SHARE_ELSEWHERE) / WORKSPACE
    if batch == "auto":
        sample = (steps - plan.recompute) * step + max(step, rest)
        most = min(samples, MOST.get(prior.device.type, MOST_ELSEWHERE))
        plan = replace(plan, batch=int(min(max(room // sample, 1), most)))
    if checkpoint == "auto":
        kept = int(max(room / plan.batch - max(step, rest), 0) // step)
        plan = replace(plan, recompute=steps - min(kept, steps))
    return plan


def footprint(prior, question):
    """Bytes that one sample keeps for the backward pass: in one solver step, and in the decoder and the target."""

    def solver_step(z):
        return prior.path.once(prior.of(range(len(z))).velocity, z)

    def picture(z):
        return question(prior.decode(z))

    return [kept(part, prior, 2) - kept(part, prior, 1) for part in (solver_step, picture)]


@torch.enable_grad()
def kept(function, prior, samples):
    """Bytes that autograd keeps when `function` is applied to latents of `samples` samples; weights are among them."""
    storages = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        storages[storage.data_ptr()] = storage.nbytes()
        return tensor.detach()  # an output that held itself would never be freed

    z = torch.stack([prior.noise(seed)[: prior.latent_shape[0]] for seed in range(samples)])
    z = z.to(prior.device).requires_grad_()
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        made = function(z)  # as long as this lives, no two storages have one address  # noqa: F841
        return sum(storages.values())


def available(device):
    """Bytes that can still be allocated on `device`; where it uses main memory, within the container's limit."""
    if device.type == "cuda":
        cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + cached
    meminfo = Path("/proc/meminfo")
    if not meminfo.exists():
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    lines = dict(line.split(":") for line in meminfo.read_text().splitlines())
    free = int(lines["MemAvailable"].split()[0]) * 1024
    return max(min([free, *within_groups(), *within_job()]), 0)


def within_groups(groups=Path("/sys/fs/cgroup"), own=Path("/proc/self/cgroup")):
    """Bytes left in this process's control group and in each above it, where they have a limit."""
    line = next((line for line in own.read_text().splitlines() if line.startswith("0::")), "") if own.exists() else ""
    inner = groups / line.removeprefix("0::").strip("/")
    for group in (inner, *(above for above in inner.parents if above.is_relative_to(groups))):
        limit = group / "memory.max"
        if limit.exists() and (most := limit.read_text().strip()) != "max":
            yield int(most) - int((group / "memory.current").read_text())


def within_job():
    """Bytes left of what Slurm gave the job that this process is, where that was asked for: it may kill for more."""
    granted = int(os.environ.get("SLURM_MEM_PER_NODE", 0))  # MiB
    if each := os.environ.get("SLURM_MEM_PER_CPU"):
        granted = int(each) * int(os.environ.get("SLURM_CPUS_ON_NODE", 1))
    if granted:
        resident = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        yield granted * 2**20 - resident
