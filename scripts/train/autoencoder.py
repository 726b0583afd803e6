"""Fit and train the embedded autoencoder on CIFAR-10.

    python -m scripts.train.autoencoder --data FOLDER --out equidiff_cli/shipped/autoencoder.safetensors

The linear maps are the principal components of the training patches and stay as they are, so the latents are known
before any training. What refines the decoded picture is trained for the mean absolute error of pixels and for the
distance of the features that `smallresnet` has of it (Zhang et al. 2018, arXiv:1801.03924). Half of the latents are
disturbed, because those that the prior draws are not exact either; without it every patch shows its own error. What
the components leave out can only be guessed, and pixel by pixel the best guess is a blur: so every picture also has to
keep the power of its brightness in each ring of frequencies.
"""

import time
from itertools import islice

import torch
import torch.nn.functional as F
from safetensors.torch import load_file

from equidiff_cli.metrics.spectrum import radial
from equidiff_cli.prior.embedded import EMBEDDED_AUTOENCODER
from equidiff_cli.prior.patches import PatchAutoencoder
from equidiff_cli.target import small
from scripts.shared import cifar10
from scripts.shared.training import Average, Checkpoint, arguments, autocast, export, prepare, statistics

QUANTUM = 1 / (12 * 255**2)  # about the power of rounding to 8 bits, at every frequency


def feature_distance(classifier, x, y):
    """Mean squared distance of the unit features at three depths of a `Target`, of pictures x and y in [-1, 1]."""

    def features(pictures):
        seen = classifier.transform((pictures + 1) / 2)
        return list(islice(classifier.model.stages(seen), 3))

    with torch.no_grad():
        wanted = features(x)
    found = features(y)
    return sum(
        (F.normalize(a.float(), dim=1) - F.normalize(b.float(), dim=1)).square().sum(1).mean()
        for a, b in zip(found, wanted, strict=True)
    )


def spectral_error(x, y):
    """Mean absolute difference of the logarithms of the radial spectra of brightness, of pictures x, y in [-1, 1]."""
    (_, a), (_, b) = (radial((pictures + 1) / 2) for pictures in (x, y))
    return ((a + QUANTUM).log() - (b + QUANTUM).log()).abs().mean().float()


@torch.no_grad()
def psnr(model, images, device):
    """Mean peak signal-to-noise ratio in dB of pictures (N, 3, H, W) in [-1, 1] after encoding and decoding."""
    error = []
    for part in images.split(250):
        part = part.to(device)
        decoded = model.decode(model.encode(part)).sample.clamp(-1, 1)
        error.append((((decoded - part) / 2) ** 2).mean(dim=(1, 2, 3)))
    return (-10 * torch.cat(error).log10()).mean().item()


def initial(images, path, device):
    """The autoencoder whose linear maps suit pictures (N, 3, 32, 32) in [-1, 1], and the scale of its latents.

    Args:
        path: weights whose refining network it gets; None: what it refines with is random.
    """
    model = PatchAutoencoder(**EMBEDDED_AUTOENCODER).to(device)
    model.fit(torch.cat([images, images.flip(-1)]).to(device))
    if path:
        refine = {name: tensor.float() for name, tensor in load_file(path).items() if name.startswith("refine.")}
        model.load_state_dict(refine, strict=False)
    _, scale = statistics(model.encode(images.to(device)).detach())
    model.analysis.requires_grad_(False)
    model.synthesis.requires_grad_(False)
    return model, scale


def disturbed(z, scale, most, generator):
    """Latents z, half of them with noise of up to `most` of their scale (1, C, 1, 1); the generator is on the CPU."""
    level = (torch.rand(len(z), 1, 1, 1, generator=generator) * 2 - 1).clamp(min=0) * most
    return z + level.to(z.device) * scale * torch.randn(z.shape, generator=generator).to(z.device)


def train(model, scale, images, held_out, args, device):
    """Train what refines on pictures (N, 3, 32, 32) uint8; returns the averaged model.

    Args:
        scale: of the latents, (1, C, 1, 1).
        held_out: pictures in [-1, 1], on which to tell how good it is.
    """
    classifier = small.embedded("smallresnet")
    classifier.model.to(device)
    optimizer = torch.optim.AdamW(model.refine.parameters(), betas=(0.9, 0.99), weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, args.lr, args.steps, pct_start=0.1, cycle_momentum=False)
    decode = torch.compile(model.decode) if args.compile else model.decode
    average = Average(model, 0.99)
    generator = torch.Generator().manual_seed(args.seed)
    parts = dict(model=model, average=average, optimizer=optimizer, schedule=schedule)
    started = time.monotonic()
    for step in Checkpoint(args.checkpoint, generator, **parts).steps(args.steps):
        part = torch.randint(0, len(images), (args.batch,), generator=generator)
        x = cifar10.random_flip(images[part] / 127.5 - 1, generator).to(device)
        z = disturbed(model.encode(x), scale, args.noise, generator)
        with autocast(device):
            decoded = decode(z).sample.float()
            features = feature_distance(classifier, x, decoded)
        error, spectra = F.l1_loss(decoded, x), spectral_error(x, decoded)
        optimizer.zero_grad()
        (error + args.features * features + args.spectrum * spectra).backward()
        torch.nn.utils.clip_grad_norm_(model.refine.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        average.update(model, step)
        if (step + 1) % 250 == 0:
            found = f"error {error.item():.4f} features {features.item():.4f} spectra {spectra.item():.3f}"
            quality, seconds = psnr(average.model, held_out, device), time.monotonic() - started
            print(f"step {step + 1}/{args.steps} {found} held out {quality:.2f} dB {seconds:.0f} s", flush=True)
    return average.model


def parser():
    """The command line."""
    parser = arguments(__doc__, "checkpoints/autoencoder.pt")
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--features", type=float, default=0.05, help="weight of the distance of features")
    parser.add_argument("--spectrum", type=float, default=0.01, help="weight of the distance of spectra")
    parser.add_argument("--init", help="weights whose refining network to go on from")
    parser.add_argument("--noise", type=float, default=0.2, help="largest disturbance, of normalised latents")
    return parser


def main():
    args = parser().parse_args()
    device = prepare(args)
    images = cifar10.load(args.data, "train")[0]
    images, held_out = images[:-1000], images[-1000:] / 127.5 - 1
    model, scale = initial(images[:10000] / 127.5 - 1, args.init, device)
    print(f"{sum(p.numel() for p in model.parameters()) / 1e6:.2f} M parameters")
    print(f"before training: {psnr(model, held_out, device):.2f} dB")
    final = train(model, scale, images, held_out, args, device)
    if args.out:
        export(final.state_dict(), args.out)


if __name__ == "__main__":
    main()
