"""Fine-tune the embedded prior through its sampler, against critics that tell its samples from real pictures.

    python -m scripts.train.finetune --data FOLDER --autoencoder equidiff_cli/shipped/autoencoder.safetensors \
        --init trained.safetensors --out equidiff_cli/shipped/lightningdit.safetensors

Flow matching asks for the right velocity at every point, which a small network cannot give. Here only the samples
count, those of a solver with few steps: the gradient goes through all of them and the decoder, as in the method itself.
What is wrong with samples is told by critics (`critics.py`), which learn it at the same time (Goodfellow et al. 2014;
after flow matching Lin et al. 2025, arXiv:2501.08316). In the first steps only the critics learn.
"""

import copy
import time
from pathlib import Path

import torch

from equidiff_cli.metrics import frechet
from equidiff_cli.prior import embedded
from equidiff_cli.target import target
from scripts.measure.embedded import prior_options
from scripts.shared import cifar10
from scripts.shared.quality import features, redecoded
from scripts.shared.training import Average, Checkpoint, arguments, attention, autocast, export, prepare
from scripts.train.critics import Remembered, critics, deception, detection, views

REMEMBERED = 12  # steps whose samples that critics must not forget
FAIR_EVERY = 4  # critics' steps between two in which their restlessness counts
NORMAL = 2000  # pictures whose views say what is normal for a critic
WATCHED_AT_ONCE = 500  # samples


def trainable(network):
    """The parameters that are tuned: not the embeddings of time, class and place."""
    network.requires_grad_(False)
    parts = (network.x_embedder, network.blocks, network.final_layer)
    return [p.requires_grad_(True) for part in parts for p in part.parameters()]


def rate(step, args):
    """The prior's learning rate of a step: none at first, then up over ten, down to zero over the last."""
    return args.lr * max(0.0, min(1.0, (step + 1 - args.warm) / 10, (args.steps - step) / args.decay))


def drawn(images, count, generator):
    """So many of images (N, 3, 32, 32) uint8, half of them mirrored."""
    pictures = images[torch.randint(0, len(images), (count,), generator=generator, device=images.device)]
    mirrored = torch.rand(count, 1, 1, 1, generator=generator, device=images.device) < 0.5
    return torch.where(mirrored, pictures.flip(-1), pictures)


@torch.no_grad()
def features_of_samples(prior, network, count, seen_by):
    """What `seen_by` sees of so many samples of `prior` with another `network`: (count, D) on the CPU."""
    noise = torch.randn(count, *prior.latent_shape, generator=torch.Generator().manual_seed(0))
    tuned, prior.network = prior.network, network
    pictures = prior.sample(noise, WATCHED_AT_ONCE)
    prior.network = tuned
    return features(seen_by, (pictures * 255).round().byte()).cpu()


def write(average, prior, path):
    """Write the averaged weights with the statistics of the latents."""
    state = copy.deepcopy(average.model)
    state.register_buffer("latents_mean", prior.mean)
    state.register_buffer("latents_std", prior.std)
    export(state, path)


def main():
    parser = arguments(__doc__, "checkpoints/finetune.pt")
    parser.add_argument("overrides", nargs="*", help="of the solver, such as prior.steps=4 [none]")
    parser.add_argument("--autoencoder", required=True, help="weights of the autoencoder")
    parser.add_argument("--init", required=True, help="weights of the prior to tune")
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--warm", type=int, default=40, help="steps in which only the critics learn")
    parser.add_argument("--decay", type=int, default=150, help="steps over which the learning rate falls to zero")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--lr", type=float, default=3e-5)
    parser.add_argument("--critics-lr", type=float, default=1e-3)
    parser.add_argument("--turns", type=int, default=2, help="steps of the critics for one of the prior")
    parser.add_argument("--ema", type=float, default=0.99)
    parser.add_argument(
        "--watch",
        type=int,
        default=0,
        help="every so many steps, print how far samples are, and write the weights so far beside --out [never]",
    )
    parser.add_argument("--watched", type=int, default=5000, help="samples, as many as training pictures [%(default)s]")
    args = parser.parse_args()
    device, options = prepare(args), prior_options(args.overrides)

    images = cifar10.load(args.data, "train")[0].to(device)
    prior = embedded.small(
        args.init,
        args.autoencoder,
        keys=("--init", "--autoencoder"),
        solver=options.solver,
        steps=options.steps,
        shift=options.shift,
        device=device,
    )
    prior.recompute = 0
    network, classifier = prior.network, target.embedded("smallresnet")
    classifier.model.to(device)
    generator = torch.Generator(device).manual_seed(args.seed)

    def real(count=args.batch):
        """Views of real pictures as the decoder shows them: what it cannot show is no fault of the prior's."""
        with torch.no_grad():
            return views(classifier, redecoded(prior, drawn(images, count, generator)), generator)

    judges = critics(real(NORMAL)).to(device)
    adam = torch.optim.Adam(trainable(network), lr=args.lr, betas=(0.0, 0.99))
    critics_adam = torch.optim.Adam(judges.parameters(), lr=args.critics_lr, betas=(0.0, 0.99))
    average, remembered = Average(network, args.ema), Remembered(REMEMBERED, args.batch).to(device)
    checkpoint = Checkpoint(
        args.checkpoint,
        generator,
        network=network,
        average=average,
        judges=judges,
        remembered=remembered,
        adam=adam,
        critics_adam=critics_adam,
    )
    step, started = checkpoint.load(), time.monotonic()
    start, recent = step, []
    velocity = torch.compile(network.velocity) if args.compile else network.velocity

    def rounded(z, condition):
        with attention(device), autocast(device):
            return velocity(z, condition)

    network.velocity = rounded

    def watch():
        watcher = target.embedded("smallconv")
        watcher.model.to(device)
        real = features(watcher, images[: args.watched]).cpu()
        found = features_of_samples(prior, average.model, args.watched, watcher)
        distance = frechet.frechet_distance(found, real)
        print(f"step {step}: Frechet distance {distance:.2f} to training pictures", flush=True)
        if args.out:
            out = Path(args.out)
            write(average, prior, out.with_stem(f"{out.stem}-{step}"))

    def criticise(real, samples, turn):
        fair = FAIR_EVERY if turn % FAIR_EVERY == 0 else 0.0
        loss, right = detection(judges, real, samples, fair, generator)
        critics_adam.zero_grad()
        loss.backward()
        critics_adam.step()
        return right

    while step < args.steps:
        noise = torch.randn(args.batch, *prior.latent_shape, generator=generator, device=device)
        now = real()
        samples = prior.decode(prior.flow(noise))
        seen = views(classifier, samples, generator)
        if step >= args.warm:
            adam.param_groups[0]["lr"] = rate(step, args)
            judges.requires_grad_(False)
            adam.zero_grad()
            deception(judges, now, seen).backward()
            adam.step()
            average.update(network, step)
            judges.requires_grad_(True)
        recent.append(criticise(now, [view.detach() for view in seen], args.turns * step))
        remembered.keep(samples, step)
        for turn in range(1, args.turns):
            with torch.no_grad():
                former = views(classifier, remembered.draw(args.batch, step, generator), generator)
            criticise(real(), former, args.turns * step + turn)
        step += 1
        if step % 10 == 0:
            seconds = (time.monotonic() - started) / (step - start)
            right = " ".join(f"{x:.2f}" for x in torch.stack(recent).mean(0).tolist())
            print(f"step {step}/{args.steps} critics right {right}, {seconds:.2f} s a step", flush=True)
            recent.clear()
        if args.watch and step % args.watch == 0:
            watch()  # before the step counts as done: what is stopped here must be made when the training goes on
        checkpoint.save(step, force=step == args.steps)
    if args.out:
        write(average, prior, args.out)


if __name__ == "__main__":
    main()
