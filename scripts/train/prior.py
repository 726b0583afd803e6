"""Train the embedded LightningDiT prior on the latents of the embedded autoencoder.

    python -m scripts.train.prior --data FOLDER --autoencoder equidiff_cli/shipped/autoencoder.safetensors \
        --out equidiff_cli/shipped/lightningdit.safetensors

The recipe of LightningDiT (Yao, Yang & Wang 2025): velocity loss plus cosine loss, logit-normal times, label dropout,
an average of the weights. In the middle of the network the tokens also have to tell what `smallresnet` sees in the
clean picture (Yu et al. 2025, arXiv:2410.06940). Matrices are trained with Muon, everything else with AdamW. The
learning rate is constant until the last `--decay` steps and then falls to zero, so a training can be prolonged from a
checkpoint taken before. With `--init` it goes on from finished weights. The starting noise of a picture carries
features of it (`coupling.py`).

    python -m scripts.train.prior --data FOLDER --size 64 --out mine

trains an autoencoder and a prior by the same recipe on the pictures of a folder, for `prior=local`: see `folder.py`.
"""

import hashlib

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import nn

from equidiff_cli.prior.embedded import EMBEDDED_AUTOENCODER, EMBEDDED_NETWORK
from equidiff_cli.prior.lightningdit import LightningDiT
from equidiff_cli.prior.patches import PatchAutoencoder
from equidiff_cli.shipped import WEIGHTS
from equidiff_cli.study.cache import cached
from equidiff_cli.target import small
from equidiff_cli.weights.read import read, sha256
from scripts.shared import cifar10
from scripts.shared.training import (
    Average,
    Checkpoint,
    Recent,
    arguments,
    attention,
    autocast,
    export,
    prepare,
    shown,
    statistics,
)
from scripts.train import folder
from scripts.train.coupling import blocks, carriers, coupled, gaussianized
from scripts.train.muon import Muon

CHUNK = 500  # pictures encoded at once


@torch.no_grad()
def encode(images, path, device):
    """`describe` with the autoencoder of patches in the file `path`."""
    model = PatchAutoencoder(**EMBEDDED_AUTOENCODER)
    model.load_state_dict({k: v.float() for k, v in load_file(path).items()})
    return describe(images, model.to(device).encode, device)


@torch.no_grad()
def describe(images, code, device):
    """What training needs to know of (N, 3, H, W) uint8 pictures and, after them, of their mirror images.

    Args:
        code: pictures (N, 3, H, W) in [-1, 1] -> latents.

    Returns:
        latents: of the autoencoder, (2N, C, h, w), normalised by
        mean, std: (1, C, 1, 1).
        seen: features of `smallresnet` after its third stage, (2N, 16, 256) float16, on a grid of 4 x 4.
        channels, facts: what noise is to tell of them and where, see `coupled`.
    """
    classifier = small.embedded("smallresnet")
    classifier.model.to(device)
    latents, seen = [], []
    for view in (images, images.flip(-1)):
        for part in view.to(device).split(CHUNK):
            latents.append(code(part / 127.5 - 1).cpu())
            seen.append(classifier.activations(part / 255, "layer3").flatten(2).mT.half().cpu())
    latents, seen = torch.cat(latents), torch.cat(seen)
    mean, std = statistics(latents)
    latents = (latents - mean) / std
    channels = carriers(latents)
    told = seen.mean(1, dtype=torch.float32).to(device)
    facts = gaussianized(told, blocks(latents[:1, channels]).numel()).cpu()
    return {"latents": latents, "mean": mean, "std": std, "seen": seen, "channels": channels, "facts": facts}


def encoded(images, path, device):
    """What `encode` returns, from the cache if that was made of the same pictures and weights; about 1 GB."""
    files = path, WEIGHTS / "smallresnet.safetensors"
    facts = {"pictures": hashlib.sha256(images.numpy()).hexdigest(), "weights": [sha256(file) for file in files]}
    return cached("latents", facts, lambda: encode(images, path, device))


class Aligned(nn.Module):
    """The network with a head that tells, from its tokens after `depth` blocks, what a classifier sees there."""

    def __init__(self, network, depth, features):
        super().__init__()
        self.network, self.depth = network, depth
        width = network.pos_embed.shape[-1]
        self.head = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, features))

    def forward(self, x, t, y):
        """The velocity (N, C, H, W), as `LightningDiT.forward`, and the head's features (N, T, D)."""
        network, c = self.network, self.network.condition(t, y)
        tokens = network.x_embedder(x) + network.pos_embed
        for i, block in enumerate(network.blocks, start=1):
            tokens = block(tokens, c, network.feat_rope)
            if i == self.depth:
                told = self.head(tokens)
        return network.unpatchify(network.final_layer(tokens, c)), told


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


def continued(network, state):
    """Fill in the weights of `state` where they fit; layers for other latents keep the values they have."""
    mine = network.state_dict()
    fitting = {name: tensor for name, tensor in state.items() if name in mine and tensor.shape == mine[name].shape}
    if not any(name.startswith("blocks.") for name in fitting):
        raise ValueError("--init: none of these weights fits a block of the network")
    network.load_state_dict(fitting, strict=False)
    print(f"not continued: {', '.join(sorted(mine.keys() - fitting.keys())) or 'none'}")


def draw(z, y, channels, facts, dropout, null, generator):
    """Noise for the latents z (N, C, H, W) that tells facts (N, D) of them in `channels`, see `coupled`, times (N,) in
    (0, 1), and the labels y (N,) of which a share is dropped."""
    noise = coupled(torch.randn(z.shape, generator=generator, device=z.device), channels, facts, generator)
    t = torch.randn(len(z), generator=generator, device=z.device).sigmoid()
    return noise, t, y.masked_fill(torch.rand(len(z), generator=generator, device=z.device) < dropout, null)


def losses(forward, z, noise, t, y, seen):
    """Velocity loss and cosine loss on the straight path from noise to the latents z (N, C, H, W), and the distance
    between what the head tells and what was seen on the grid of 4 x 4, as one minus the cosine."""
    x, target = torch.lerp(noise, z, t[:, None, None, None]), z - noise
    with autocast(z.device), attention(z.device):
        v, told = forward(x, t, y)
    v = v.float()
    grid = seen.float().unflatten(1, (4, 4)).repeat_interleave(2, 1).repeat_interleave(2, 2).flatten(1, 2)
    return torch.stack(
        [
            F.mse_loss(v, target),
            (1 - F.cosine_similarity(v, target, dim=1)).mean(),
            (1 - F.cosine_similarity(told.float(), grid, dim=-1)).mean(),
        ]
    )


def optimizers(model, lr):
    """Muon for the matrices of the blocks of an `Aligned` model, AdamW for everything else."""
    matrices = [p for p in model.network.blocks.parameters() if p.ndim == 2]
    others = [p for p in model.parameters() if p.requires_grad and all(p is not m for m in matrices)]
    adam = torch.optim.AdamW(others, lr=lr, betas=(0.9, 0.95), weight_decay=0.0)
    return {"muon": Muon(matrices, lr=lr), "adam": adam}


def rate(step, args):
    """The learning rate of a step: up over a hundred, down to zero over the last."""
    return args.lr * min(1.0, (step + 1) / 100, (args.steps - step) / args.decay)


def train(network, data, labels, args, device):
    """Train the network on what `encode` gave of pictures and on their labels (N,); returns the averaged network."""
    latents, seen, channels, facts = (data[name].to(device) for name in ("latents", "seen", "channels", "facts"))
    labels = labels.repeat(2).to(device)  # of the mirror images, too
    model = Aligned(network, depth=len(network.blocks) // 2, features=seen.shape[-1]).to(device)
    forward = torch.compile(model) if args.compile else model
    chosen, average = optimizers(model, args.lr), Average(network, args.ema)
    generator = torch.Generator(device).manual_seed(args.seed)
    checkpoint = Checkpoint(args.checkpoint, generator, model=model, average=average, **chosen)
    shares, recent = torch.tensor([1.0, 1.0, args.align], device=device), Recent()
    for step in shown(checkpoint.steps(args.steps), args.steps, "prior"):
        part = torch.randint(0, len(latents), (args.batch,), generator=generator, device=device)
        z = latents[part]
        noise, t, y = draw(z, labels[part], channels, facts[part], args.dropout, network.num_classes, generator)
        found = losses(forward, z, noise, t, y, seen[part])
        model.zero_grad()
        found.dot(shares).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in chosen.values():
            for group in optimizer.param_groups:
                group["lr"] = rate(step, args)
            optimizer.step()
        average.update(network, step)
        recent.add(found.detach())
        if (step + 1) % 100 == 0:
            (velocity, cosine, features), seconds = recent.take()
            means = f"velocity {velocity:.4f} cosine {cosine:.4f} features {features:.4f}"
            print(f"step {step + 1}/{args.steps} {means} {args.batch / seconds:.0f} pictures/s", flush=True)
    return average.model


def parser():
    """The command line."""
    data = "folder with CIFAR-10 (see scripts/shared/cifar10.py); with --size, any folder of pictures"
    parser = arguments(__doc__, "checkpoints/prior.pt", data)
    parser.add_argument("--autoencoder", help="weights of the trained autoencoder; with --size, one is trained")
    parser.add_argument("--size", type=int, choices=folder.SIZES, help="side of the pictures of a folder in pixels")
    parser.add_argument("--autoencoder-steps", type=int, default=20000, help="of its training, with --size")
    parser.add_argument("--width", type=int, default=384, help="of the network, with --size")
    parser.add_argument("--depth", type=int, default=8, help="blocks of the network, with --size")
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--decay", type=int, default=1500, help="steps over which the learning rate falls to zero")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--lr", type=float, default=1.5e-3)
    parser.add_argument("--dropout", type=float, default=0.9, help="share of labels replaced by the null class")
    parser.add_argument("--ema", type=float, default=0.999)
    parser.add_argument("--align", type=float, default=0.5, help="weight of what the head tells")
    parser.add_argument("--init", help="go on from these weights, as far as they fit")
    return parser


def main():
    args = parser().parse_args()
    if args.size and not args.out:
        raise SystemExit("--out: has no default with --size; give a folder to write the files to")
    if not (args.size or args.autoencoder):
        raise SystemExit("--autoencoder: has no default; give the weights of the autoencoder, or --size for a folder")
    device = prepare(args)
    if args.size:
        folder.run(args, device, train, initialize, describe)
        return
    images, labels = cifar10.load(args.data, "train")
    former = read(args.init, "--init") if args.init else None  # before encoding, which takes minutes
    data = encoded(images, args.autoencoder, device)
    mean, std = data["mean"], data["std"]
    torch.manual_seed(args.seed)  # encoding drew numbers, if it had to be done
    network = initialize(LightningDiT(**EMBEDDED_NETWORK))
    if former:
        continued(network, former)
    print(f"{sum(p.numel() for p in network.parameters()) / 1e6:.2f} M parameters, latent std {std.flatten().tolist()}")
    final = train(network, data, labels, args, device)
    if args.out:
        export(final.state_dict() | {"latents_mean": mean, "latents_std": std}, args.out)


if __name__ == "__main__":
    main()
