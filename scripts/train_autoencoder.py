"""Train the embedded autoencoder on CIFAR-10.

    python scripts/train_autoencoder.py --data FOLDER --out equidiff_cli/prior/embedded/autoencoder.safetensors

The loss is the mean absolute error of pixels plus a small Kullback-Leibler term (Rombach et al. 2022, section 3.1).
"""

import time
from functools import partial

import cifar10
import torch
import torch.nn.functional as F
from training import Average, Checkpoint, arguments, autocast, export, prepare

from equidiff_cli.prior.autoencoder import build
from equidiff_cli.prior.build import EMBEDDED_AUTOENCODER


def reconstruct(model, x):
    """Encode, draw from the posterior, decode: (N, 3, H, W) -> the picture, the posterior's mean and log variance."""
    posterior = model.encode(x).latent_dist
    mean, logvar = posterior.mean.float(), posterior.logvar.float()
    z = mean + (0.5 * logvar).exp() * torch.randn_like(mean)
    return model.decode(z).sample.float(), mean, logvar


@torch.no_grad()
def psnr(model, images, device):
    """Mean peak signal-to-noise ratio in dB of (N, 3, H, W) pictures in [-1, 1], decoded from the latent mean."""
    error = []
    for part in images.split(250):
        part = part.to(device)
        decoded = model.decode(model.encode(part).latent_dist.mean).sample.clamp(-1, 1)
        error.append((((decoded - part) / 2) ** 2).mean(dim=(1, 2, 3)))
    return (-10 * torch.cat(error).log10()).mean().item()


def main():
    parser = arguments(__doc__, "checkpoints/autoencoder.pt")
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--lr", type=float, default=1.5e-3)
    parser.add_argument("--kl", type=float, default=2e-4, help="weight of the divergence, per latent number")
    args = parser.parse_args()
    device = prepare(args)

    images, test_images = (cifar10.load(args.data, split)[0] for split in ("train", "test"))
    test_images = test_images[:1000] / 127.5 - 1
    model = build(**EMBEDDED_AUTOENCODER).to(device, memory_format=torch.channels_last)
    print(f"{sum(p.numel() for p in model.parameters()) / 1e6:.2f} M parameters")
    optimizer = torch.optim.AdamW(model.parameters(), betas=(0.9, 0.99), weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, args.lr, args.steps, pct_start=0.05, cycle_momentum=False, final_div_factor=10
    )
    forward = torch.compile(lambda x: reconstruct(model, x)) if args.compile else partial(reconstruct, model)
    average = Average(model, 0.998)
    generator = torch.Generator().manual_seed(args.seed)
    checkpoint = Checkpoint(
        args.checkpoint, generator, model=model, average=average, optimizer=optimizer, schedule=schedule
    )
    step, started = checkpoint.load(), time.monotonic()
    while step < args.steps:
        part = torch.randint(0, len(images), (args.batch,), generator=generator)
        x = cifar10.random_flip(images[part] / 127.5 - 1, generator).to(device, memory_format=torch.channels_last)
        with autocast(device):
            decoded, mean, logvar = forward(x)
        divergence = 0.5 * (mean**2 + logvar.exp() - 1 - logvar).mean()
        error = F.l1_loss(decoded, x)
        loss = error + args.kl * divergence
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        average.update(model, step)
        step += 1
        if step % 500 == 0:
            print(
                f"step {step}/{args.steps} error {error.item():.4f} divergence {divergence.item():.2f}"
                f" psnr {psnr(average.model, test_images, device):.2f} dB {time.monotonic() - started:.0f} s",
                flush=True,
            )
        checkpoint.save(step, force=step == args.steps)
    if args.out:
        export(average.model, args.out)


if __name__ == "__main__":
    main()
