"""The recipe of the shipped prior on a folder of pictures, `python -m scripts.train.prior --data FOLDER --size 64`.

Two trainings, one after the other, each resumable: an autoencoder whose latents are always 16 x 16, and a LightningDiT
on these. Pictures in folders of their own below FOLDER are classes by the names of these folders. What is written is
what `prior=local` takes; the words for it are printed.
"""

import math
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from equidiff_cli.files import whole
from equidiff_cli.pictures.read import load
from equidiff_cli.prior import autoencoder as vae
from equidiff_cli.prior.lightningdit import LightningDiT
from equidiff_cli.target import small
from scripts.shared import cifar10
from scripts.shared.training import Average, Checkpoint, autocast, export, shown
from scripts.train.autoencoder import feature_distance

SIZES = (32, 64, 128, 256)
LATENT, CHANNELS = 16, 8  # side and channels of the latents
WIDTHS = (32, 64, 64, 128, 128)  # of the autoencoder, from full resolution on
PENALTY = 1e-4  # on the square of the latents, which else grow until noise does not disturb them


def pictures(folder, size):
    """All pictures below a folder, cropped and resized as a query is: (N, 3, size, size) uint8, the class (N,) of each,
    and the names of the classes. `ValueError` for a folder with less than two."""
    folder, found, places = Path(folder), [], []
    if not folder.is_dir():
        raise ValueError(f"--data={folder}: there is no such folder; give a folder of pictures")
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        try:
            found.append(np.array(load(file, size, folder)))
        except ValueError:  # no picture
            continue
        places.append(file.relative_to(folder).parts[0] if file.parent != folder else "")
    if len(found) < 2:
        raise ValueError(f"--data={folder}: holds {len(found)} pictures; at least 2 are needed")
    names = sorted(set(places))
    labels = torch.tensor([names.index(place) for place in places])
    return torch.from_numpy(np.stack(found)).permute(0, 3, 1, 2).contiguous(), labels, [n or "picture" for n in names]


def sizes(size):
    """Options of `autoencoder.build` for pictures of this side."""
    levels = int(math.log2(size // LATENT)) + 1
    return dict(
        latent_channels=CHANNELS,
        block_out_channels=list(WIDTHS[:levels]),
        layers_per_block=1,
        attention_levels=[],
        norm_num_groups=8,
    )


def architecture(args, classes):
    """Options of `LightningDiT`: 64 tokens, a head for every 64 channels."""
    return dict(
        input_size=LATENT,
        patch_size=2,
        in_channels=CHANNELS,
        hidden_size=args.width,
        depth=args.depth,
        num_heads=max(args.width // 64, 1),
        num_classes=classes,
    )


def train_autoencoder(images, args, device):
    """The averaged autoencoder of pictures (N, 3, H, W) uint8: mean absolute error of pixels, and the distance of what
    `smallresnet` has of them; latents are disturbed, because those of a prior are not exact either."""
    classifier = small.embedded("smallresnet")
    classifier.model.to(device)
    torch.manual_seed(args.seed)
    model = vae.build(**sizes(args.size), sample_size=args.size).to(device).train()
    optimizer, average = torch.optim.AdamW(model.parameters(), lr=args.lr, weight_decay=0.0), Average(model, 0.999)
    generator = torch.Generator(device).manual_seed(args.seed)
    file = Path(args.checkpoint).with_suffix(".autoencoder.pt")
    steps = Checkpoint(file, generator, model=model, average=average, optimizer=optimizer).steps(args.autoencoder_steps)
    for step in shown(steps, args.autoencoder_steps, "autoencoder"):
        part = torch.randint(0, len(images), (args.batch,), generator=generator, device=device).cpu()
        x = cifar10.random_flip(images[part].to(device) / 127.5 - 1, generator)
        with autocast(device):
            z = model.encode(x).latent_dist.mean.float()
            level = 0.2 * torch.rand(len(z), 1, 1, 1, generator=generator, device=device) * z.std().detach()
            noise = torch.randn(z.shape, generator=generator, device=device)
            decoded = model.decode(z + level * noise).sample.float()
            features = feature_distance(classifier, x, decoded)
        optimizer.zero_grad()
        (F.l1_loss(decoded, x) + 0.05 * features + PENALTY * z.square().mean()).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for group in optimizer.param_groups:
            group["lr"] = args.lr * min(1.0, (step + 1) / 100, 4 * (1 - step / args.autoencoder_steps))
        optimizer.step()
        average.update(model, step)
    return average.model.eval()


def run(args, device, train, initialize, describe):
    """Train both and write the files; prints the words that `equidiff run` takes them with.

    Args:
        train, initialize, describe: of `scripts.train.prior`.
    """
    images, labels, names = pictures(args.data, args.size)
    print(f"{len(images)} pictures of {len(names)} classes")
    coder = train_autoencoder(images, args, device)
    data = describe(images, lambda x: coder.encode(x).latent_dist.mean.float(), device)
    torch.manual_seed(args.seed)
    options = architecture(args, len(names))
    final = train(initialize(LightningDiT(**options)), data, labels, args, device)
    folder = Path(args.out)
    export(final.state_dict(), folder / "network.safetensors")
    export(coder.state_dict(), folder / "decoder.safetensors")
    export({name: data[name] for name in ("mean", "std")}, folder / "stats.safetensors")
    with whole(folder / "classes.txt") as beside:
        beside.write_text("".join(f"{name}\n" for name in names), encoding="utf-8")
    print(" ".join(words(folder.resolve(), args.size, options)))


def words(folder, size, options):
    """The words for `equidiff run`."""
    files = {"network": "network.safetensors", "decoder": "decoder.safetensors", "stats": "stats.safetensors"}
    named = {name: folder / file for name, file in (files | {"classes": "classes.txt"}).items()}
    named |= {"image_size": size, "shift": 1.0, "null_trained": "yes"}
    named |= {f"architecture.{name}": value for name, value in options.items()}
    named |= {f"autoencoder.{name}": str(value).replace(" ", "") for name, value in sizes(size).items()}
    return ["prior=local", *(f"prior.{name}={value}" for name, value in named.items())]
