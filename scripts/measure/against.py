"""The loop against other loops: a static batch, the loop as it is often written, descent; see `engine.py`."""

import statistics

import torch
from torch.utils.checkpoint import checkpoint

from equidiff_cli.methods.events import Finished, Step
from equidiff_cli.methods.latent import evaluate
from equidiff_cli.prior.prior import sample_seed
from equidiff_cli.prior.sampler import Adjoint
from equidiff_cli.request.build import build
from equidiff_cli.request.schema import composed
from scripts.measure.bench import NEVER


def refill_over_static(bench, samples, run_static):
    """(b) Samples an hour with slots that refill over those of a batch that waits for its slowest member.

    The static loop does as many steps with a full batch as its slowest member needs; a sample needs the same steps in
    both, so they are counted in the refilled run, and timed there on its full steps. `run_static` runs it indeed.
    """
    needed, full, since = {}, [], bench.now()
    began = since
    for event in bench.events(samples, 0):
        if isinstance(event, Step):
            before, since = since, bench.now()
            full += [since - before] if len(event.index) == bench.batch else []
        else:
            needed[event.index] = event.steps
    refill = bench.now() - began
    groups = [range(i, min(i + bench.batch, samples)) for i in range(0, samples, bench.batch)]
    static = sum(max(needed[i] for i in group) for group in groups) * statistics.median(full)
    facts = {
        "samples": samples,
        "steps, median": statistics.median(needed.values()),
        "steps, most": max(needed.values()),
        "refill seconds": refill,
        "static seconds, counted": static,
    }
    if run_static:
        facts["static seconds"] = static = bench.seconds(lambda: [run_group(bench, group) for group in groups])
    return {"refilled slots over a static batch": static / refill}, facts


def run_group(bench, group):
    """A batch whose members all go on until the last has converged or used up its budget."""
    z0 = torch.stack([bench.prior.noise(sample_seed(0, i)) for i in group]).to(bench.device)
    state, done = bench.optimizer.init(z0), torch.zeros(len(z0), dtype=torch.bool)
    for _ in range(bench.budget["steps"]):
        measured, grad, _ = evaluate(
            bench.prior, bench.question, z0, torch.zeros_like(done), NEVER, Adjoint(recompute=0)
        )
        done |= measured["loss"].cpu() < bench.budget["threshold"]
        if done.all():
            return
        z0, state = bench.optimizer.step(z0, grad, state)


def loop_over_naive(bench):
    """(c) Against the loop as it is often written: one sample, weights that ask for gradients, every solver step
    decoded and copied to the host, and a pass through the target for each loss. Both per sample and step."""
    prior, question = bench.prior, bench.question
    z0 = bench.noise(1).requires_grad_()
    optimizer = torch.optim.SGD([z0], lr=1e-6)
    modules = (prior.network, prior.decoder)

    def naive():
        optimizer.zero_grad()
        z = z0
        for i, dt in enumerate(prior.times.diff().tolist()):
            z = checkpoint(prior.path.step, prior.velocity, z, i, dt, use_reentrant=False)
            with torch.no_grad():
                prior.decode(z).cpu()
        x = prior.decode(z)
        loss = (question.objective(x) - question.target).square().sum()
        loss = loss + (question.objective(question.lowpass(x)) - question.target).square().sum()
        loss.backward()
        optimizer.step()
        loss.item()

    def unfrozen():
        for module in modules:
            module.requires_grad_(True)
        return naive

    events = bench.events(bench.batch, 0, steps=10**6, threshold=NEVER)

    def frozen():
        for module in modules:
            module.requires_grad_(False)
            module.zero_grad(set_to_none=True)
        return lambda: next(events)

    times = bench.shortest(naive=unfrozen, loop=frozen)
    frozen()
    return {"the loop over a naive one": times["naive"] / (times["loop"] / bench.batch)}, times


def solving_over_descending(bench, samples):
    """Members an hour by Gauss-Newton over those by Shampoo, from the same noise and with the same threshold; samples
    that do not converge take time and are not counted."""
    hourly, facts = {}, {}
    for name in ("shampoo", "gauss_newton"):
        optimizer = build(composed("prior=embedded", f"optimizer={name}")).method.optimizer
        began = bench.now()
        finished = [e for e in bench.events(samples, 0, optimizer=optimizer) if isinstance(e, Finished)]
        seconds, members = bench.now() - began, sum(sample.status == "converged" for sample in finished)
        hourly[name] = 3600 * members / seconds
        facts |= {
            f"{name}: members of {samples}": members,
            f"{name}: members an hour": hourly[name],
            f"{name}: evaluations a sample": statistics.mean(sample.steps for sample in finished),
        }
    return {"Gauss-Newton over Shampoo": hourly["gauss_newton"] / hourly["shampoo"]}, facts
