"""What the benchmarks measure with: the parts of a run on the shipped models, the shortest time, the peak of memory."""

import itertools
import time

import torch
from torch.profiler import ProfilerActivity, profile

from equidiff_cli.engine.memory import Memory
from equidiff_cli.engine.plan import Plan
from equidiff_cli.engine.slots import Slots
from equidiff_cli.methods.latent import Latent
from equidiff_cli.prior.prior import sample_seed
from equidiff_cli.request.build import build
from equidiff_cli.request.schema import composed

NEVER = 1e-30  # a threshold that no sample reaches


class Bench:
    """The parts of a run on the shipped models with the default settings, and one gradient a step: that of Algorithm 1.

    Args:
        device: "auto", "cpu", "cuda".
        solver_steps: T; None: the default.
        batch: samples at once.
        repeat: repetitions of which the shortest counts.
    """

    def __init__(self, device, solver_steps, batch, repeat):
        words = [f"prior.steps={solver_steps}"] if solver_steps else []
        parts = build(composed("prior=embedded", "experiment=thesis", f"device={device}", *words))
        self.prior, self.question, self.optimizer = parts.prior, parts.question, parts.method.optimizer
        self.budget = dict(steps=parts.steps, threshold=parts.threshold)
        self.device, self.steps = parts.prior.device, parts.prior.steps
        self.batch, self.repeat = batch, repeat

    def memory(self, recompute):
        """Memory for the batch with so many solver steps recomputed."""
        return Memory(Plan(self.batch, self.steps, recompute))

    def events(self, samples, recompute, **budget):
        """The loop over `samples` samples."""
        slots = Slots([(i, sample_seed(0, i)) for i in range(samples)], self.batch, self.device)
        method = Latent(**{"optimizer": self.optimizer} | self.budget | budget)
        return method(self.prior, self.question, slots, self.memory(recompute))

    def noise(self, samples):
        return torch.stack([self.prior.noise(seed) for seed in range(samples)]).to(self.device)

    def seconds(self, function):
        """Seconds that one call takes, the device's work included."""
        began = self.now()
        function()
        return self.now() - began

    def now(self):
        """Seconds on the clock that suits the device, when all work so far is done."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        elif torch.get_num_threads() == 1:
            return time.process_time()
        return time.perf_counter()

    def shortest(self, **functions):
        """The shortest time of what each function returns, a function to be timed; all in turns."""
        times = {name: [] for name in functions}
        for _ in range(self.repeat + 1):  # the first round warms up
            for name, function in functions.items():
                times[name].append(self.seconds(function()))
        return {name: min(values[1:]) for name, values in times.items()}


def peak(bench, function):
    """The most MiB that torch had allocated at once in a call, beyond what was there before."""
    if bench.device.type == "cuda":
        function()
        torch.cuda.reset_peak_memory_stats(bench.device)
        before = torch.cuda.memory_allocated(bench.device)
        function()
        return (torch.cuda.max_memory_allocated(bench.device) - before) / 2**20
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        function()
    events = [event for event in profiled.profiler.kineto_results.events() if event.name() == "[memory]"]
    sizes = (event.nbytes() for event in sorted(events, key=lambda event: event.start_ns()))
    return max(itertools.accumulate(sizes)) / 2**20
