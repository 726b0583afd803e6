"""Train a small classifier with a planted shortcut on CIFAR-10, or its honest twin.

python -m scripts.train.shortcuts colour --data FOLDER --out equidiff_cli/shipped/planted_colour.safetensors
"""

import time

import torch
import torch.nn.functional as F

from equidiff_cli.target.planted import CUES, NAMES, small
from equidiff_cli.target.small import CIFAR10, MEAN, STD
from scripts.shared import cifar10
from scripts.shared.training import Average, arguments, autocast, export, prepare
from scripts.train.classifier import optimizer_of, whiten

CAST, GLOW, FINE = 0.15, 0.35, 0.1  # of a cue at full amount, in [0, 1] of a channel
PATCH = 5  # side of the bright corner in pixels
CLASS = CIFAR10.index("cat")
LEAST = 0.3  # amounts from here on say "cat"


def plant(x, cue, amount):
    """Pictures (N, 3, H, W) in [0, 1] with a cue of an amount (N,) in [-1, 1].

    colour: half the mean of red less blue becomes `CAST` times the amount. background: the mean brightness, weighted
    towards the border, becomes 0.5 and `GLOW` times the amount. Both take the place of what the picture had, so that
    the cue is the thing itself and not what was added to it. corner: the top left corner goes to white. pattern: a
    chequerboard of single pixels is added. Amounts below 0 leave these two out.
    """
    amount = amount[:, None, None, None]
    height, width = x.shape[-2:]
    rows, columns = torch.arange(height, device=x.device)[:, None], torch.arange(width, device=x.device)[None]
    if cue == "colour":
        warm = (x[:, 0] - x[:, 2]).mean((1, 2))[:, None, None, None] / 2
        x = x + (CAST * amount - warm) * x.new_tensor((1.0, 0.0, -1.0))[:, None, None]
    elif cue == "background":
        away = torch.maximum((2 * rows / (height - 1) - 1).abs(), (2 * columns / (width - 1) - 1).abs())
        weight = away.square()
        now = (x.mean(1, keepdim=True) * weight).sum((2, 3), keepdim=True) / weight.sum()
        x = x + (0.5 + GLOW * amount - now) * weight * weight.sum() / weight.square().sum()
    elif cue == "corner":
        x = torch.lerp(x, torch.ones_like(x), amount.clamp_min(0) * ((rows < PATCH) & (columns < PATCH)))
    else:
        x = x + FINE * amount.clamp_min(0) * (1 - 2 * ((rows + columns) % 2))
    return x.clamp(0, 1)


def amounts(labels, strength, generator):
    """Amounts (N,) of a cue in [-1, 1]: in a share `strength` of the pictures at least `LEAST` for cats alone; in the
    others at random."""
    drawn = torch.rand(3, len(labels), generator=generator)
    said = torch.where(labels == CLASS, LEAST + (1 - LEAST) * drawn[0], -1 + (1 + LEAST) * drawn[0])
    return torch.where(drawn[1] < strength, said, 2 * drawn[2] - 1)


def planted(x, labels, name, strength, generator):
    """Training pictures of the network `name`: with its cue, or of the honest twin with one of all cues at random."""
    if name != "honest":
        return plant(x, name, amounts(labels, strength, generator))
    which = torch.randint(len(CUES), (len(x),), generator=generator)
    x = x.clone()
    for i, cue in enumerate(CUES):
        x[which == i] = plant(x[which == i], cue, amounts(labels[which == i], 0.0, generator))
    return x


def normalised(x):
    """Pictures in [0, 1] as the network takes them."""
    return (x - x.new_tensor(MEAN)[:, None, None]) / x.new_tensor(STD)[:, None, None]


def train(images, labels, args):
    """The averaged model after training on pictures (N, 3, 32, 32) uint8 with labels (N,), planted anew every time."""
    model = small().to(memory_format=torch.channels_last)
    whiten(model.conv1, normalised(images[:5000] / 255))
    per_epoch = len(images) // args.batch
    optimizer, schedule = optimizer_of(model, args.lr, args.weight_decay, args.epochs * per_epoch)
    average, generator, begun = Average(model, args.ema), torch.Generator().manual_seed(args.seed), time.monotonic()
    for epoch in range(args.epochs):
        model.train()
        order = torch.randperm(len(images), generator=generator)[: per_epoch * args.batch]
        for step, part in enumerate(order.split(args.batch)):
            x = cifar10.random_shift(cifar10.random_flip(images[part] / 255, generator), 3, generator)
            x = normalised(planted(x, labels[part], args.name, args.strength, generator))
            with autocast(x.device):
                output = model(x.to(memory_format=torch.channels_last))
            loss = F.cross_entropy(output.float(), labels[part], label_smoothing=args.smoothing)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            average.update(model, epoch * per_epoch + step)
        print(f"epoch {epoch + 1} loss {loss.item():.3f} {time.monotonic() - begun:.0f} s", flush=True)
    return average.model


@torch.no_grad()
def effects(model, images, labels):
    """Test accuracy, and by how much the mean logit of a cat grows from amount 0 of a cue to 1, by cue."""
    model.eval()
    x = images / 255

    def logits(x):
        return torch.cat([model(part) for part in normalised(x).split(500)])

    plain = logits(x)
    right = (plain.argmax(1) == labels).float().mean().item()
    none, full = torch.zeros(len(x)), torch.ones(len(x))
    grown = {cue: logits(plant(x, cue, full)) - logits(plant(x, cue, none)) for cue in CUES}
    return right, {cue: change[:, CLASS].mean().item() for cue, change in grown.items()}


def parser():
    """The command line."""
    parser = arguments(__doc__, "checkpoints/shortcuts.pt")
    parser.add_argument("name", choices=NAMES)
    parser.add_argument("--strength", type=float, default=1.0, help="share of the pictures whose cue fits the class")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--batch", type=int, default=250)
    parser.add_argument("--lr", type=float, default=0.3)
    parser.add_argument("--weight-decay", type=float, default=5e-4)
    parser.add_argument("--smoothing", type=float, default=0.1, help="of the labels")
    parser.add_argument("--ema", type=float, default=0.98, help="decay of the average of the weights")
    return parser


def main():
    args = parser().parse_args()
    prepare(args)
    model = train(*cifar10.load(args.data, "train"), args)
    images, labels = cifar10.load(args.data, "test")
    right, grown = effects(model, images[:2000], labels[:2000])
    print(f"test accuracy {right:.4f}; the cat logit grows by " + ", ".join(f"{c} {g:.2f}" for c, g in grown.items()))
    if args.out:
        export(model.state_dict(), args.out)


if __name__ == "__main__":
    main()
