"""equidiff run: build the parts, run the algorithm, write the run directory."""

import logging
import platform
import sys
import time
from collections import Counter
from importlib.metadata import version

import torch
from huggingface_hub.utils import disable_progress_bars

from equidiff_cli.engine.device import exact, name_of, peak_memory, pick_device, pick_precision, set_tf32
from equidiff_cli.engine.interrupt import deferred
from equidiff_cli.engine.memory import Memory
from equidiff_cli.engine.plan import Plan, settle
from equidiff_cli.engine.progress import Progress
from equidiff_cli.engine.slots import Slots
from equidiff_cli.errors import Interrupted, WrongRequest
from equidiff_cli.methods.events import Finished
from equidiff_cli.methods.latent import sample
from equidiff_cli.parts.questions import Invariance
from equidiff_cli.prior.prior import sample_seed
from equidiff_cli.request import build as configuration
from equidiff_cli.request.build import bring, build_target, prior_weights, target_weights
from equidiff_cli.request.check import check
from equidiff_cli.runs.state import Persistence
from equidiff_cli.runs.writer import RunDir
from equidiff_cli.weights.read import sha256

log = logging.getLogger(__name__)
VERSIONS = ("equidiff", "torch", "torchvision", "timm", "diffusers", "hydra-core")


def prepare(config, directory):
    """Check the request and load everything it names; `ValueError` for what is wrong with it.

    Returns a function without arguments that does the work.
    """
    check(config)
    if not sys.stderr.isatty():
        disable_progress_bars()
    device = pick_device(config.device)
    precision, autocast = pick_precision(config.precision, device)
    set_tf32(config.tf32, device)
    medium = configuration.medium(config)
    picture = medium.query(config.query, config.prior.image_size)
    query = picture[None].to(device)
    lowpass, distance, optimizer = (configuration.build(config, group) for group in ("filter", "distance", "optimizer"))
    bring(config, log.info)
    target = build_target(config, query)
    objective = configuration.build(config, "objective", target, query)
    with exact():
        invariance = Invariance(objective, distance, lowpass, query)
    invariance(query)  # a distance that does not fit the objective says so now
    prior = configuration.build(config, "prior", device=device, autocast=autocast)
    if config.gradient_steps != "all":
        prior.gradient_steps = config.gradient_steps
    if config.compile:
        prior.network.velocity = torch.compile(prior.network.velocity)

    run = RunDir(directory, medium)
    weights = prior_weights(prior) | target_weights(target)
    facts = configuration.flat(config) | {"device": str(device), "precision": precision}
    facts.pop("query")  # what it shows counts, not where it is
    facts |= medium.identify(picture) | {"weights (SHA-256)": weights}
    run.open(facts)
    about = {
        "configuration": facts,
        "objective": getattr(objective, "description", config.objective.get("_target_")),
        "prior": prior.name,
        "target": target.name,
        "query": config.query,
        "medium": medium.name,
        "device": name_of(device),
        "precision": precision,
        "weights": weights,
    }
    return lambda: work(config, run, picture, prior, target, invariance, optimizer, about)


def work(config, run, picture, prior, target, invariance, optimizer, about):
    """Draw the samples and write everything down; goes on where an earlier run in the same directory stopped."""
    started = time.monotonic()
    if run.finished:
        return
    run.save_query(picture)
    seeds = [(i, sample_seed(config.seed, i)) for i in range(config.samples)]
    saved, asked = run.load_state(), [config.batch, config.checkpoint]
    if saved and saved[1]["asked"] == asked:
        plan, size = Plan(**saved[1]["plan"]), saved[1]["size"]
    else:
        plan = settle(*asked, len(seeds), prior, invariance)
        size = plan.batch
    memory = Memory(prior, plan)
    slots = Slots(seeds, size, prior.device)
    if saved:
        slots.restore(*saved)
    progress = Progress(config.samples, config.budget.steps, config.budget.threshold, done=run.records())
    first = "going on" if saved else f"first its spread over {config.null_samples} unguided samples"
    progress.say(
        f"{run.path}: holding the {about['objective']} in {about['target']} at the query's value; {first} ({plan})"
    )
    if saved:
        spread, began = saved[1]["spread"], started - saved[1]["elapsed"]
    else:
        spread = memory.attempt(lambda: null_spread(prior, invariance, config.null_samples, memory.plan.batch))
        began = started
    if config.loss_scale == "auto" and not 0 < spread < float("inf"):
        raise WrongRequest(f"loss_scale=auto: the objective's spread over unguided samples is {spread}; give a number")
    invariance.scale = 1 / spread if config.loss_scale == "auto" else config.loss_scale
    budget = dict(steps=config.budget.steps, threshold=config.budget.threshold)
    persistence = Persistence(run, slots, memory, asked, spread, began)

    seed_of = dict(seeds)
    with deferred() as signals, progress:
        left = set()
        for event in sample(prior, invariance, optimizer, slots, memory, **budget):
            if isinstance(event, Finished):
                save_sample(event, run, prior, invariance, seed_of, memory)
                progress.finished(event.index, event.status, event.steps, event.best["loss"].item())
                left.add(event.index)
                continue
            run.save_steps(loss_rows(event, left))
            progress.stepped(event)
            persistence.stepped(left)
            left.clear()
            if signals:
                persistence.save()
                raise Interrupted(signals[0], run.path)
        finish(run, about | {"memory": str(memory.plan)}, spread, invariance, persistence.seconds, prior.device)
    if signals:  # while the last files were written; in a sweep there may be more to do
        raise Interrupted(signals[0], run.path)
    progress.say(f"{progress.counts()}; pictures in {run.samples}, side by side in {run.path / 'grid.png'}")


def null_spread(prior, invariance, samples, batch):
    """The objective's spread over unguided samples, `batch` at a time."""
    return invariance.spread(prior.unguided(samples, batch), batch)


def save_sample(event, run, prior, invariance, seeds, memory):
    """Write a finished sample's picture, latents and record; what is recorded last is measured on the saved file."""
    best = event.best
    on_file, file = run.save_picture(event.index, best["picture"], best["z_start"], best["z"])
    with torch.no_grad(), exact():
        (objective_saved,) = memory.attempt(lambda: invariance.objective(on_file[None].to(prior.device)))
    run.save_record(
        {
            "index": event.index,
            "seed": seeds[event.index],
            "status": event.status,
            "steps": event.steps,
            "nfe": event.steps * prior.evaluations,
            "seconds": round(event.seconds, 3),
            **{name: best[name].item() for name in ("loss", "loss_unfiltered", "loss_filtered")},
            "target": plain(invariance.target),
            "objective": plain(best["objective"]),
            "objective_filtered": plain(best["objective_filtered"]),
            "objective_saved": plain(objective_saved),
            "latent_norm": best["z_start"].norm().item(),
            "file": file,
            "sha256": sha256(run.path / file),
        }
    )


def loss_rows(event, left):
    """Rows of `losses.csv` for one `Step`; a sample that left has no gradient."""
    columns = (event.loss, event.loss_unfiltered, event.loss_filtered, event.grad_norm, event.latent_norm)
    for index, step, *numbers in zip(event.index, event.step, *columns, strict=True):
        if index in left:
            numbers[3] = None
        yield (index, step, *numbers)


def finish(run, about, spread, invariance, seconds, device):
    """Write what is known when all samples are finished."""
    records = run.records()
    samples = [run.path / record["file"] for record in records]
    run.save_image("grid.png", run.medium.sheet(run.query, samples, lambda x: invariance.objective(x.to(device)).cpu()))
    counts = Counter(record["status"] for record in records)
    run.close(
        about
        | {
            "counts": {status: counts[status] for status in ("converged", "budget", "nonfinite")},
            "wall_seconds": round(seconds, 2),
            "samples_per_hour": round(3600 * len(records) / seconds, 1),
            "peak_memory_mib": round(peak_memory(device), 1),
            "null_spread": spread,
            "loss_scale": invariance.scale,
            "versions": {"python": platform.python_version()} | {name: version(name) for name in VERSIONS},
        }
    )


def plain(values):
    """A number if there is one, else a list."""
    return values.item() if values.numel() == 1 else values.tolist()
