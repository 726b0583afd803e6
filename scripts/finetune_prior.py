"""Fine-tune the embedded prior through its sampler: samples as a whole get the statistics of training pictures.

    python scripts/finetune_prior.py --data FOLDER --autoencoder equidiff_cli/prior/embedded/autoencoder.safetensors \
        --init trained.safetensors --out equidiff_cli/prior/embedded/lightningdit.safetensors

Flow matching asks for the right velocity at every point, which a small network cannot give. Here only the samples
count, those of the default solver with its few steps: the gradient goes through all of them and the decoder, as in the
method itself. The loss is the Frechet distance of what `smallresnet` sees in samples to what it sees in training
pictures, at several depths, and of what it calls them (`moments.py`). The starting noises are always the same; their
samples are drawn first, and the distances that are printed are those of these samples.
"""

import hashlib
import json
import time
from pathlib import Path

import cifar10
import torch
from measure_embedded import prior_options
from moments import FrechetLoss, moments
from torch import nn
from training import Average, Checkpoint, arguments, attention, export, kept, prepare

from equidiff_cli import target
from equidiff_cli.prior import build, weights

POOLED, PLACES = ("layer2", "layer3", "layer4"), ("layer1", "layer2", "layer3")  # of smallresnet, see `seen`
SETS = len(POOLED + PLACES) + 1


def seen(classifier, pictures):
    """What `smallresnet` sees in pictures (N, 3, 32, 32) in [0, 1]: seven sets of features, each (M, D).

    The means over each picture of three layers, what three layers see at every place, then the probabilities of the
    classes, whose covariance tells how sure the classifier is of single pictures.
    """
    outputs = {}
    hooks = [
        classifier.model.get_submodule(name).register_forward_hook(
            lambda _module, _input, output, name=name: outputs.update({name: output.clone()})
        )
        for name in {*POOLED, *PLACES}
    ]
    try:
        probabilities = classifier(pictures).softmax(1)
    finally:
        for hook in hooks:
            hook.remove()
    means = [outputs[name].mean((2, 3)) for name in POOLED]
    return [*means, *(outputs[name].flatten(2).mT.flatten(0, 1) for name in PLACES), probabilities]


@torch.no_grad()
def all_moments(classifier, pictures, device):
    """`moments` of each set of features of pictures (N, 3, 32, 32), uint8 or in [0, 1]."""
    total = [0.0] * SETS
    for part in pictures.split(500):
        part = part.to(device) if part.is_floating_point() else part.to(device) / 255
        features = seen(classifier, part)
        total = [found + len(part) / len(pictures) * moments(x) for found, x in zip(total, features, strict=True)]
    return total


def drawn_first(args, prior, noise):
    """The samples of `noise` with the weights of --init, (N, 3, 32, 32) in [0, 1].

    They are read from a file beside the checkpoint if that was made with the same weights and options.
    """
    files = [weights.sha256(file) for file in (args.init, args.autoencoder)]
    options = json.dumps([files, prior.step.__name__, prior.times.tolist(), args.samples, args.seed])
    cache = Path(args.checkpoint).with_name(f"{hashlib.sha256(options.encode()).hexdigest()[:16]}.first.pt")
    return kept(cache, lambda: {"pictures": prior.sample(noise, 50).cpu()})["pictures"]


def trainable(network):
    """The parameters that are tuned: not the embeddings of time, class and place."""
    network.requires_grad_(False)
    parts = (network.x_embedder, network.blocks, network.final_layer)
    return [p.requires_grad_(True) for part in parts for p in part.parameters()]


def rate(step, args):
    """The learning rate of a step: up over the first ten, down to zero over the last."""
    return args.lr * min(1.0, (step + 1) / 10, (args.steps - step) / args.decay)


def main():
    parser = arguments(__doc__, "checkpoints/finetune.pt")
    parser.add_argument("--autoencoder", required=True, help="weights of the autoencoder")
    parser.add_argument("--init", required=True, help="weights of the prior to tune")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--samples", type=int, default=4000, help="how many starting noises [%(default)s]")
    parser.add_argument("--decay", type=int, default=100, help="steps over which the learning rate falls to zero")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--lr", type=float, default=5e-6)
    parser.add_argument("--keep", type=float, default=0.8, help="see FrechetLoss [%(default)s]")
    parser.add_argument("--ema", type=float, default=0.95)
    args = parser.parse_args()
    device, options = prepare(args), prior_options()

    images, _ = cifar10.load(args.data, "train")
    prior = build.small(
        args.init,
        args.autoencoder,
        keys=("--init", "--autoencoder"),
        solver=options.solver,
        steps=options.steps,
        shift=options.shift,
        device=device,
    )
    prior.recompute = 0
    network = prior.network
    parameters = trainable(network)
    classifier = target.embedded("smallresnet")
    classifier.model.to(device)
    noise = torch.randn(args.samples, *prior.latent_shape, generator=torch.Generator().manual_seed(args.seed))
    at_first = drawn_first(args, prior, noise)
    views = torch.cat([images[::2], images[1::2].flip(-1)])
    real, first = (all_moments(classifier, pictures, device) for pictures in (views, at_first))
    losses = nn.ModuleList(FrechetLoss(*both, args.keep) for both in zip(real, first, strict=True))
    adam = torch.optim.AdamW(parameters, betas=(0.8, 0.98), weight_decay=0.0)
    average = Average(network, args.ema)
    generator = torch.Generator().manual_seed(args.seed)
    checkpoint = Checkpoint(args.checkpoint, generator, network=network, average=average, losses=losses, adam=adam)
    step, started = checkpoint.load(), time.monotonic()
    start = step
    if not all(torch.allclose(loss.first, wanted) for loss, wanted in zip(losses, first, strict=True)):
        raise ValueError(
            f"--checkpoint={args.checkpoint}: of other samples, for another --init, --autoencoder, --samples or --seed"
        )
    if args.compile:
        network.velocity = torch.compile(network.velocity)
    while step < args.steps:
        part = torch.randint(0, args.samples, (args.batch,), generator=generator)
        with torch.no_grad():
            former = seen(classifier, at_first[part].to(device))
        with attention(device):
            pictures = prior.decode(prior.flow(noise[part].to(device)))
        features = seen(classifier, pictures)
        found = [loss(*both) for loss, *both in zip(losses, features, former, strict=True)]
        for group in adam.param_groups:
            group["lr"] = rate(step, args)
        adam.zero_grad()
        sum(found).backward()
        adam.step()
        average.update(network, step)
        step += 1
        if step % 10 == 0:
            seconds = (time.monotonic() - started) / (step - start)
            distances = " ".join(f"{x.item():.4f}" for x in found)
            print(f"step {step}/{args.steps} distances {distances}, {seconds:.1f} s a step", flush=True)
        checkpoint.save(step, force=step == args.steps)
    if args.out:
        final = average.model
        final.register_buffer("latents_mean", prior.mean)
        final.register_buffer("latents_std", prior.std)
        export(final, args.out)


if __name__ == "__main__":
    main()
