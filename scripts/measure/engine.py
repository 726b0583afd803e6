"""How fast the loop is, as ratios measured in one run: against the cost of its parts, a static batch, a naive loop.

    python -m scripts.measure.engine                    # all of it, on the shipped models
    python -m scripts.measure.engine --samples 16 --json bench.json

Times are the shortest of several repetitions, taken in turns, so that a busy moment of the machine touches no single
one. On a CPU with one thread (the default) they are processor time, which other processes disturb less than wall time.
Measure on a quiet machine all the same: beside other work a step takes longer over its parts.
On a CUDA device the utilisation of a LightningDiT-XL/1 with random weights in bfloat16 is measured, too.
"""

import argparse
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

from equidiff_cli.engine.start import null_distance
from equidiff_cli.files import write_json
from equidiff_cli.methods.latent import evaluate
from equidiff_cli.prior.lightningdit import LightningDiT
from equidiff_cli.prior.sampler import Adjoint
from scripts.measure.against import loop_over_naive, refill_over_static, solving_over_descending
from scripts.measure.bench import NEVER, Bench, peak


def step_over_its_parts(bench):
    """(a) One optimisation step over its evaluations (forwards, one input-backward) + decoder + target."""
    prior, question, steps = bench.prior, bench.question, bench.steps
    z = bench.noise(bench.batch)
    with torch.no_grad():
        x = prior.decode(prior.flow(z))

    def forward():
        def call():
            with torch.no_grad():
                prior.velocity(z, 0)

        return call

    def backward(function, start):
        start = start.detach().requires_grad_()
        made = function(start)
        return lambda: torch.autograd.grad(made, start, torch.ones_like(made))

    def both(function, start):
        return lambda: backward(function, start)()

    def objective(x):
        return question.objective(torch.cat([x, x]))

    def loop(recompute):
        events = bench.events(bench.batch, recompute, steps=10**6, threshold=NEVER)

        return lambda: lambda: next(events)

    times = bench.shortest(
        forward=forward,
        backward=lambda: backward(lambda z: prior.velocity(z, 0), z),
        decoder=lambda: both(prior.decode, prior.flow(z).detach()),
        target=lambda: both(objective, x),
        recomputed=loop(steps),
        kept=loop(0),
    )
    rest = times["decoder"] + times["target"]
    model = {
        "recomputed": prior.evaluations * (2 * times["forward"] + times["backward"]) + rest,
        "kept": prior.evaluations * (times["forward"] + times["backward"]) + rest,
    }
    return {f"step over its parts, {name}": times[name] / model[name] for name in model}, times


def memory_at_50_over_10(device):
    """(d) Peak memory of one step, without weights, at T = 50 over T = 10, every solver step recomputed."""

    def of_one_step(solver_steps):
        bench = Bench(device, solver_steps, batch=2, repeat=1)
        going = torch.zeros(2, dtype=torch.bool)
        return peak(bench, lambda: evaluate(bench.prior, bench.question, bench.noise(2), going, NEVER))

    peaks = {steps: of_one_step(steps) for steps in (10, 50)}
    facts = {f"MiB at T = {steps}": mib for steps, mib in peaks.items()}
    return {"peak memory at T = 50 over T = 10": peaks[50] / peaks[10]}, facts


def truncated(bench):
    """The loss and its gradient through the last K solver steps only: their time over that of the full ones, and the
    mean cosine between the two gradients. Nothing is recomputed."""
    z0, going = bench.noise(bench.batch), torch.zeros(bench.batch, dtype=torch.bool)
    counts = [k for k in (1, 2, 3, 4, 5, 7) if k < bench.steps] + [bench.steps]
    gradients = {}

    def step(k):
        adjoint = Adjoint(gradient_steps=k, recompute=0)

        def call():
            gradients[k] = evaluate(bench.prior, bench.question, z0, going, NEVER, adjoint)[1].flatten(1)

        return lambda: call

    times = bench.shortest(**{str(k): step(k) for k in counts})
    full = bench.steps
    facts = {f"cosine at K = {k}": torch.cosine_similarity(gradients[k], gradients[full]).mean().item() for k in counts}
    return {f"time at K = {k} over that of all {full}": times[str(k)] / times[str(full)] for k in counts[:-1]}, facts


def utilisation(bench, batches, size=8192, **architecture):
    """The operations a second of a velocity network with random weights in bfloat16, over those of a large product.

    Forward and input-backward, without recomputation, as model FLOPs utilisation is defined (Chowdhery et al. 2022,
    arXiv:2204.02311, appendix B), but against what the card reaches instead of what is printed on it. Without
    `architecture` it is XL/1.
    """
    network = LightningDiT(**architecture).requires_grad_(False).eval().to(bench.device)
    a = torch.randn(size, size, device=bench.device, dtype=torch.bfloat16)
    ceiling = 2 * size**3 / bench.shortest(product=lambda: lambda: a @ a)["product"]
    with torch.no_grad():
        c = network.condition(
            torch.zeros(1, device=bench.device), torch.zeros(1, dtype=torch.long, device=bench.device)
        )
    network.keep_in(torch.bfloat16)
    shape = network.in_channels, network.input_size, network.input_size
    ratios, facts = {}, {"matrix product, TFLOP/s": ceiling / 1e12}
    for batch in batches:

        def call(batch=batch):
            z = torch.randn(batch, *shape, device=bench.device, requires_grad=True) * 1  # the counter takes no leaf
            with torch.autocast(bench.device.type, torch.bfloat16):
                v = network.velocity(z, c)
            return torch.autograd.grad(v, z, torch.ones_like(v))

        with FlopCounterMode(display=False) as counter:
            call()
        seconds = bench.shortest(call=lambda call=call: call)["call"]
        facts[f"TFLOP/s at batch {batch}"] = counter.get_total_flops() / seconds / 1e12
        ratios[f"utilisation at batch {batch}"] = counter.get_total_flops() / seconds / ceiling
    return ratios, facts


AIMS = {  # ratio: (at least or at most, how much)
    "step over its parts, recomputed": ("<=", 1.15),
    "step over its parts, kept": ("<=", 1.15),
    "refilled slots over a static batch": (">=", 1.4),
    "the loop over a naive one": (">=", 3.0),
    "Gauss-Newton over Shampoo": (">=", 2.5),
    "peak memory at T = 50 over T = 10": ("<=", 1.05),
}


def judged(name, ratio):
    """The aim of a ratio and whether it is met; nothing for ratios without one."""
    sign, aim = AIMS.get(name, (">=", 0.5 if name.startswith("utilisation") else None))
    if aim is None:
        return ""
    return f"aim {sign} {aim:<5} {'met' if (ratio <= aim if sign == '<=' else ratio >= aim) else 'MISSED'}"


PARTS = ("step", "naive", "memory", "refill", "solving", "truncated", "utilisation")


def measure(part, bench, arguments):
    """The ratios of a part of the benchmark, and what they were made of, both by name."""
    match part:
        case "step":
            return step_over_its_parts(bench)
        case "naive":
            return loop_over_naive(bench)
        case "memory":
            return memory_at_50_over_10(arguments.device)
        case "refill":
            return refill_over_static(bench, arguments.samples, arguments.run_static)
        case "solving":
            return solving_over_descending(bench, arguments.samples)
        case "truncated":
            return truncated(bench)
        case "utilisation":
            return utilisation(bench, (1, 4, 8, 16, 32))


def parser():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--solver-steps", type=int, help="T; default: as configured")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--parts", nargs="+", choices=PARTS, metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--threads", type=int, default=1, help="on a CPU")
    parser.add_argument("--samples", type=int, default=64, help="drawn to compare with a static batch, and optimisers")
    parser.add_argument("--repeat", type=int, default=5, help="repetitions of which the shortest counts")
    parser.add_argument("--run-static", action="store_true", help="run the static batch instead of counting its steps")
    parser.add_argument("--json", type=Path, help="also write everything measured to this file")
    return parser


def main():
    arguments = parser().parse_args()
    torch.set_num_threads(arguments.threads)
    bench = Bench(arguments.device, arguments.solver_steps, arguments.batch, arguments.repeat)
    bench.question.scale = 1 / null_distance(bench.prior, bench.question, 64, bench.memory(0))
    ratios, facts = {}, {"threads": torch.get_num_threads(), "device": str(bench.device), "T": bench.steps}
    for part in arguments.parts or (PARTS if bench.device.type == "cuda" else PARTS[:-1]):
        new, about = measure(part, bench, arguments)
        ratios |= new
        facts |= about
        for name, ratio in new.items():
            print(f"{name:<38} {ratio:6.2f}   {judged(name, ratio)}", flush=True)
    if arguments.json:
        write_json(arguments.json, {"ratios": ratios, "facts": facts})


if __name__ == "__main__":
    main()
