"""What the benchmarks measure with: the parts of a run on the shipped models, the shortest time, the peak of memory."""

import itertools
import time

import torch
from hydra import compose, initialize_config_dir
from torch.profiler import ProfilerActivity, profile

from equidiff_cli.engine.device import pick_device, pick_precision
from equidiff_cli.engine.memory import Memory
from equidiff_cli.engine.plan import Plan
from equidiff_cli.engine.slots import Slots
from equidiff_cli.methods.latent import sample
from equidiff_cli.parts.questions import Invariance
from equidiff_cli.pictures.medium import Pictures
from equidiff_cli.prior.prior import sample_seed
from equidiff_cli.request import build as configuration
from equidiff_cli.request.schema import configs, register


class Bench:
    """The parts of a run on the shipped models with the default settings.

    Args:
        device: "auto", "cpu", "cuda".
        solver_steps: T; None: the default.
        batch: samples at once.
        repeat: repetitions of which the shortest counts.
    """

    def __init__(self, device, solver_steps, batch, repeat):
        self.device, self.batch, self.repeat = pick_device(device), batch, repeat
        _, autocast = pick_precision("auto", self.device)
        register()
        overrides = ["prior=embedded", *([f"prior.steps={solver_steps}"] if solver_steps else [])]
        with initialize_config_dir(str(configs()), version_base="1.3"):
            config = compose("run", overrides=overrides)
        query = Pictures().query(config.query, config.prior.image_size)[None].to(self.device)
        lowpass, distance, self.optimizer = (
            configuration.build(config, g) for g in ("filter", "distance", "optimizer")
        )
        target = configuration.build(config, "target")
        target.model.to(self.device)
        self.invariance = Invariance(configuration.build(config, "objective", target, query), distance, lowpass, query)
        self.prior = configuration.build(config, "prior", device=self.device, autocast=autocast)
        self.budget = dict(steps=config.budget.steps, threshold=config.budget.threshold)
        self.steps = config.prior.steps

    def events(self, samples, recompute, **budget):
        """The loop over `samples` samples."""
        memory = Memory(self.prior, Plan(self.batch, self.steps, recompute))
        slots = Slots([(i, sample_seed(0, i)) for i in range(samples)], self.batch, self.device)
        return sample(self.prior, self.invariance, self.optimizer, slots, memory, **self.budget | budget)

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
