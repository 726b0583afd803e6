"""Fine-tune the embedded prior through its sampler, against critics that tell its samples from real pictures.

    python -m scripts.train.finetune --data FOLDER --autoencoder equidiff_cli/shipped/autoencoder.safetensors \
        --init trained.safetensors --out equidiff_cli/shipped/lightningdit.safetensors

Flow matching asks for the right velocity at every point, which a small network cannot give. Here only the samples
count, those of a solver with few steps: the gradient goes through all of them and the decoder, as in the method itself.
What is wrong with samples is told by critics (`critics.py`), which learn it at the same time (Goodfellow et al. 2014;
after flow matching Lin et al. 2025, arXiv:2501.08316). In the first steps only the critics learn.
"""

import copy
from pathlib import Path

import torch

from equidiff_cli.metrics import frechet
from equidiff_cli.prior import embedded
from equidiff_cli.prior.sampler import Adjoint
from equidiff_cli.target import small
from scripts.shared import cifar10
from scripts.shared.quality import features, prior_options, redecoded
from scripts.shared.training import Average, Checkpoint, Recent, arguments, attention, autocast, export, prepare
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


def with_network(prior, network):
    """The prior with another network of the same kind."""
    other = copy.copy(prior)
    other.network = network
    return other


@torch.no_grad()
def features_of_samples(prior, network, count, seen_by):
    """What `seen_by` sees of so many samples of `prior` with another `network`: (count, D) on the CPU."""
    noise = torch.randn(count, *prior.latent_shape, generator=torch.Generator().manual_seed(0))
    pictures = with_network(prior, network).sample(noise, WATCHED_AT_ONCE)
    return features(seen_by, (pictures * 255).round().byte()).cpu()


def write(network, prior, path):
    """Write the weights of `network` with the statistics of the latents."""
    export(network.state_dict() | {"latents_mean": prior.mean, "latents_std": prior.std}, path)


def read(args, device):
    """The prior to tune, with the solver that is asked for."""
    options = prior_options(args.overrides)
    solver = dict(solver=options.solver, steps=options.steps, shift=options.shift)
    keys = ("--init", "--autoencoder")
    return embedded.small(args.init, args.autoencoder, keys=keys, device=device, **solver)


def round_velocity(network, device, compiled):
    """Let the network compute its velocity in the precision of the training from now on."""
    velocity = torch.compile(network.velocity) if compiled else network.velocity

    def rounded(z, condition):
        with attention(device), autocast(device):
            return velocity(z, condition)

    network.velocity = rounded


class Contest:
    """A prior and its critics, each of which learns from the other.

    Args:
        prior: its network learns, and its solver and decoder make the samples.
        images: real pictures (N, 3, 32, 32) uint8, on the device of the prior.
        generator: of all random numbers, on the device of the prior.
        args: the options of the script.
    """

    def __init__(self, prior, images, generator, args):
        self.prior, self.images, self.generator, self.args = prior, images, generator, args
        self.classifier = small.embedded("smallresnet")
        self.classifier.model.to(prior.device)
        self.judges = critics(self.real(NORMAL)).to(prior.device)
        self.adam = torch.optim.Adam(trainable(prior.network), lr=args.lr, betas=(0.0, 0.99))
        self.critics_adam = torch.optim.Adam(self.judges.parameters(), lr=args.critics_lr, betas=(0.0, 0.99))
        self.average = Average(prior.network, args.ema)
        self.remembered = Remembered(REMEMBERED, args.batch).to(prior.device)

    def parts(self):
        """What a checkpoint needs to hold, by name."""
        names = ("average", "judges", "remembered", "adam", "critics_adam")
        return {"network": self.prior.network} | {name: getattr(self, name) for name in names}

    def step(self, step):
        """One step of the prior and `--turns` of the critics; for each critic the share of pairs that it got right."""
        shape = self.args.batch, *self.prior.latent_shape
        noise = torch.randn(shape, generator=self.generator, device=self.prior.device)
        real = self.real(self.args.batch)
        samples = self.prior.decode(self.prior.flow(noise, Adjoint(recompute=0)))
        seen = views(self.classifier, samples, self.generator)
        if step >= self.args.warm:
            self.deceive(real, seen, step)
        turn = self.args.turns * step
        right = self.criticise(real, [view.detach() for view in seen], turn)
        self.remembered.keep(samples, step)
        for more in range(1, self.args.turns):
            with torch.no_grad():
                former = self.remembered.draw(self.args.batch, step, self.generator)
                former = views(self.classifier, former, self.generator)
            self.criticise(self.real(self.args.batch), former, turn + more)
        return right

    @torch.no_grad()
    def real(self, count):
        """Views of real pictures as the decoder shows them: what it cannot show is no fault of the prior's."""
        pictures = redecoded(self.prior, drawn(self.images, count, self.generator))
        return views(self.classifier, pictures, self.generator)

    def deceive(self, real, samples, step):
        """One step of the prior against the critics, on views of real pictures and of its samples."""
        self.adam.param_groups[0]["lr"] = rate(step, self.args)
        self.judges.requires_grad_(False)
        self.adam.zero_grad()
        deception(self.judges, real, samples).backward()
        self.adam.step()
        self.average.update(self.prior.network, step)
        self.judges.requires_grad_(True)

    def criticise(self, real, samples, turn):
        """One step of the critics, on views; for each of them the share of pairs that it got right."""
        fair = FAIR_EVERY if turn % FAIR_EVERY == 0 else 0.0
        loss, right = detection(self.judges, real, samples, fair, self.generator)
        self.critics_adam.zero_grad()
        loss.backward()
        self.critics_adam.step()
        return right


def watch(contest, count, step, out):
    """Print how far samples are from as many training pictures, and write the weights so far beside the path `out`."""
    prior, network = contest.prior, contest.average.model
    watcher = small.embedded("smallconv")
    watcher.model.to(prior.device)
    real = features(watcher, contest.images[:count]).cpu()
    distance = frechet.frechet_distance(features_of_samples(prior, network, count, watcher), real)
    print(f"step {step}: Frechet distance {distance:.2f} to training pictures", flush=True)
    if out:
        write(network, prior, Path(out).with_stem(f"{Path(out).stem}-{step}"))


def parser():
    """The command line."""
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
    return parser


def main():
    args = parser().parse_args()
    device = prepare(args)
    images = cifar10.load(args.data, "train")[0].to(device)
    prior, generator = read(args, device), torch.Generator(device).manual_seed(args.seed)
    contest, recent = Contest(prior, images, generator, args), Recent()
    round_velocity(prior.network, device, args.compile)
    for step in Checkpoint(args.checkpoint, generator, **contest.parts()).steps(args.steps):
        recent.add(contest.step(step))
        done = step + 1
        if done % 10 == 0:
            right, seconds = recent.take()
            right = " ".join(f"{share:.2f}" for share in right)
            print(f"step {done}/{args.steps} critics right {right}, {seconds:.2f} s a step", flush=True)
        if args.watch and done % args.watch == 0:
            watch(contest, args.watched, done, args.out)  # not saved yet: made again if it is stopped here
    if args.out:
        write(contest.average.model, prior, args.out)


if __name__ == "__main__":
    main()
