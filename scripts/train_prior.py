"""Train the embedded LightningDiT prior on the latents of the embedded autoencoder.

    python scripts/train_prior.py --data FOLDER --autoencoder equidiff_cli/prior/embedded/autoencoder.safetensors \
        --out equidiff_cli/prior/embedded/lightningdit.safetensors

The recipe of LightningDiT (Yao, Yang & Wang 2025): velocity loss plus cosine loss, log-normal times, label dropout,
an average of the weights. Matrices are trained with Muon, everything else with AdamW. The learning rate is constant
until the last `--decay` steps and then falls to zero, so a training can be prolonged from a checkpoint taken before.
"""

import time
from pathlib import Path

import cifar10
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from training import Average, Checkpoint, arguments, autocast, export, prepare

from equidiff_cli.prior import autoencoder
from equidiff_cli.prior.build import EMBEDDED_AUTOENCODER, EMBEDDED_NETWORK
from equidiff_cli.prior.lightningdit import LightningDiT


@torch.no_grad()
def encode(images, path, device):
    """Latent means of (N, 3, 32, 32) uint8 pictures, then of their mirror images: (2N, C, 8, 8)."""
    model = autoencoder.build(**EMBEDDED_AUTOENCODER)
    model.load_state_dict({k: v.float() for k, v in load_file(path).items()})
    model.to(device)
    return torch.cat(
        [
            model.encode(part.to(device) / 127.5 - 1).latent_dist.mean.cpu()
            for view in (images, images.flip(-1))
            for part in view.split(500)
        ]
    )


def initialize(model):
    """Initialisation of DiT: Xavier for projections, zeros for modulations and the last layer."""
    for module in model.modules():
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            nn.init.zeros_(module.bias)
    nn.init.xavier_uniform_(model.x_embedder.proj.weight.flatten(1))
    nn.init.zeros_(model.x_embedder.proj.bias)
    nn.init.normal_(model.y_embedder.embedding_table.weight, std=0.02)
    for layer in (model.t_embedder.mlp[0], model.t_embedder.mlp[2]):
        nn.init.normal_(layer.weight, std=0.02)
    for layer in (*(block.adaLN_modulation[1] for block in model.blocks), model.final_layer.adaLN_modulation[1]):
        nn.init.zeros_(layer.weight)
    nn.init.zeros_(model.final_layer.linear.weight)
    return model


def loss_of(forward, z, y, generator, dropout, null):
    """Velocity loss plus cosine loss on the straight path from noise to the latents z (N, C, H, W)."""
    noise = torch.randn(z.shape, generator=generator).to(z.device)
    t = torch.randn(len(z), generator=generator).sigmoid().to(z.device)
    dropped = (torch.rand(len(z), generator=generator) < dropout).to(z.device)
    x = torch.lerp(noise, z, t[:, None, None, None])
    kernels = [SDPBackend.MATH] if z.device.type == "cpu" else [SDPBackend.FLASH_ATTENTION, SDPBackend.MATH]
    with autocast(z.device), sdpa_kernel(kernels):  # on a CPU plain products are faster, their backward most of all
        v = forward(x, t, y.masked_fill(dropped, null))
    v, target = v.float(), z - noise
    return F.mse_loss(v, target), (1 - F.cosine_similarity(v, target, dim=1)).mean()


def main():
    parser = arguments(__doc__, "checkpoints/prior.pt")
    parser.add_argument("--autoencoder", required=True, help="weights of the trained autoencoder")
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--decay", type=int, default=1500, help="steps over which the learning rate falls to zero")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--lr", type=float, default=1.5e-3)
    parser.add_argument("--dropout", type=float, default=0.3, help="share of labels replaced by the null class")
    parser.add_argument("--ema", type=float, default=0.999)
    args = parser.parse_args()
    device = prepare(args)

    images, labels = cifar10.load(args.data, "train")
    cache = Path(args.checkpoint).with_suffix(".latents.pt")
    if not cache.exists():
        torch.save(encode(images, args.autoencoder, device), cache)
    latents, labels = torch.load(cache, weights_only=True), labels.repeat(2)
    mean, std = latents.mean((0, 2, 3), keepdim=True), latents.std((0, 2, 3), keepdim=True)
    latents = (latents - mean) / std

    model = initialize(LightningDiT(**EMBEDDED_NETWORK)).to(device)
    print(f"{sum(p.numel() for p in model.parameters()) / 1e6:.2f} M parameters, latent std {std.flatten().tolist()}")
    matrices = [p for name, p in model.named_parameters() if p.ndim == 2 and name.startswith("blocks")]
    others = [p for p in model.parameters() if p.requires_grad and all(p is not m for m in matrices)]
    muon = torch.optim.Muon(matrices, lr=args.lr, weight_decay=0.01, adjust_lr_fn="match_rms_adamw")
    adam = torch.optim.AdamW(others, lr=args.lr, betas=(0.9, 0.95), weight_decay=0.0)
    forward = torch.compile(model) if args.compile else model
    average = Average(model, args.ema)
    generator = torch.Generator().manual_seed(args.seed)
    checkpoint = Checkpoint(args.checkpoint, generator, model=model, average=average, muon=muon, adam=adam)
    step, started = checkpoint.load(), time.monotonic()
    start, sums = step, torch.zeros(2)
    while step < args.steps:
        rate = args.lr * min(1.0, (step + 1) / 200, (args.steps - step) / args.decay)
        for group in muon.param_groups + adam.param_groups:
            group["lr"] = rate
        part = torch.randint(0, len(latents), (args.batch,), generator=generator)
        z, y = latents[part].to(device), labels[part].to(device)
        velocity, cosine = loss_of(forward, z, y, generator, args.dropout, model.num_classes)
        muon.zero_grad()
        adam.zero_grad()
        (velocity + cosine).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        muon.step()
        adam.step()
        average.update(model, step)
        step += 1
        sums += torch.tensor([velocity.item(), cosine.item()])
        if step % 200 == 0:
            rate = (step - start) * args.batch / (time.monotonic() - started)
            velocity, cosine = (sums / 200).tolist()
            print(
                f"step {step}/{args.steps} velocity {velocity:.4f} cosine {cosine:.4f} {rate:.0f} pictures/s",
                flush=True,
            )
            sums.zero_()
        checkpoint.save(step, force=step == args.steps)
    if args.out:
        final = average.model
        final.register_buffer("latents_mean", mean)
        final.register_buffer("latents_std", std)
        export(final, args.out)


if __name__ == "__main__":
    main()
