"""Train one of the embedded classifiers on CIFAR-10.

python -m scripts.train.classifier smallconv --data FOLDER --out equidiff_cli/shipped/smallconv.safetensors
"""

import time

import torch
import torch.nn.functional as F
from safetensors.torch import load_file

from equidiff_cli.target.small import ARCHITECTURES, SmallConvNet
from scripts.shared import cifar10
from scripts.shared.classifying import calibration_error, logits_of, normalised
from scripts.shared.training import Average, Checkpoint, arguments, autocast, export, prepare


def whiten(layer, images):
    """Set a convolution's filters to the whitening directions of the patches of `images`, and their negatives."""
    size = layer.kernel_size[0]
    patches = images.unfold(2, size, 1).unfold(3, size, 1).permute(0, 2, 3, 1, 4, 5).reshape(-1, 3 * size * size)
    values, vectors = torch.linalg.eigh(torch.cov(patches.T))
    filters = (vectors / (values + 1e-2).sqrt()).T.reshape(-1, 3, size, size)
    layer.weight.data.copy_(torch.cat([filters, -filters]))
    layer.bias.data.zero_()
    layer.weight.requires_grad_(False)


def soft_labels(labels, other, share, classes=10):
    """Labels (N,) as probabilities (N, classes), a `share` (N,) of each given to the label of picture `other`."""
    exact = F.one_hot(labels, classes).float()
    return torch.lerp(exact, exact[other], share[:, None])


def initial(name, images, path, device):
    """The classifier `name`, whose first layer suits normalised pictures if the data sets it, or with weights of a
    file."""
    model = ARCHITECTURES[name]().to(device, memory_format=torch.channels_last)
    if isinstance(model, SmallConvNet):  # its first layer is set by the data and stays
        whiten(model.conv1, images[:5000])
    if path:
        model.load_state_dict(load_file(path))
    return model


def optimizer_of(model, lr, weight_decay, steps):
    """SGD with weight decay for matrices and kernels alone, and its one-cycle schedule."""
    trained = [p for p in model.parameters() if p.requires_grad]
    decayed = {"params": [p for p in trained if p.ndim > 1], "weight_decay": weight_decay}
    plain = {"params": [p for p in trained if p.ndim == 1], "weight_decay": 0.0}
    optimizer = torch.optim.SGD([decayed, plain], momentum=0.9, nesterov=True)
    return optimizer, torch.optim.lr_scheduler.OneCycleLR(
        optimizer, lr, steps, pct_start=0.25, anneal_strategy="linear", cycle_momentum=False, div_factor=10
    )


def augmented(images, labels, erase, mix, generator):
    """Normalised pictures as the training sees them, and what they are to be called: labels or their shares."""
    x = cifar10.random_shift(cifar10.random_flip(images, generator), 3, generator)
    if erase:
        x = cifar10.random_erase(x, erase, generator)
    if mix:
        x, other, share = cifar10.random_mix(x, generator)
        labels = soft_labels(labels, other, share)
    return x, labels


def train(model, images, labels, test_images, test_labels, args, device):
    """Train on normalised pictures (N, 3, 32, 32) with labels (N,); returns the averaged model.

    Args:
        test_images, test_labels: on which its accuracy is told after every epoch.
    """
    epoch = len(images) // args.batch  # steps
    forward = torch.compile(model) if args.compile else model
    optimizer, schedule = optimizer_of(model, args.lr, args.weight_decay, args.epochs * epoch)
    average = Average(model, args.ema)
    generator = torch.Generator(device).manual_seed(args.seed)
    parts = dict(model=model, average=average, optimizer=optimizer, schedule=schedule)
    checkpoint, started = Checkpoint(args.checkpoint, generator, every_seconds=0, **parts), time.monotonic()
    for first in checkpoint.steps(args.epochs * epoch, stride=epoch):
        model.train()
        order = torch.randperm(len(images), generator=generator, device=device)
        for step, part in enumerate(order[: epoch * args.batch].split(args.batch), start=first):
            x, goal = augmented(images[part], labels[part], args.erase, args.mix, generator)
            with autocast(device):
                output = forward(x.to(memory_format=torch.channels_last))
            loss = F.cross_entropy(output.float(), goal, label_smoothing=args.smoothing)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            average.update(model, step)
        right = (logits_of(average.model, test_images).argmax(1) == test_labels).float().mean()
        found = f"loss {loss.item():.3f} test {right:.4f}"
        print(f"epoch {first // epoch + 1}/{args.epochs} {found} {time.monotonic() - started:.0f} s", flush=True)
    return average.model


def parser():
    """The command line."""
    parser = arguments(__doc__, "checkpoints/{model}.pt")
    parser.add_argument("model", choices=ARCHITECTURES)
    parser.add_argument("--epochs", type=int, default=16)
    parser.add_argument("--batch", type=int, default=500)
    parser.add_argument("--lr", type=float, default=0.5)
    parser.add_argument("--weight-decay", type=float, default=5e-4)
    parser.add_argument("--erase", type=int, default=8, help="side of the blanked square in pixels; 0: none")
    parser.add_argument("--mix", action="store_true", help="put a rectangle of another picture into each one")
    parser.add_argument("--smoothing", type=float, default=0.1, help="of the labels")
    parser.add_argument("--ema", type=float, default=0.98, help="decay of the average of the weights")
    parser.add_argument("--init", help="start from these weights instead of random ones: another cycle")
    return parser


def main():
    args = parser().parse_args()
    args.checkpoint = args.checkpoint.format(model=args.model)
    device = prepare(args)
    (images, labels), (test_images, test_labels) = (cifar10.load(args.data, split) for split in ("train", "test"))
    images, test_images = (normalised(x).to(device) for x in (images, test_images))
    model = initial(args.model, images, args.init, device)
    final = train(model, images, labels.to(device), test_images[:2000], test_labels[:2000], args, device)
    logits = logits_of(final, test_images)
    right = (logits.argmax(1) == test_labels).float().mean()
    print(f"test accuracy {right:.4f}, expected calibration error {calibration_error(logits, test_labels):.4f}")
    if args.out:
        export(final.state_dict(), args.out)


if __name__ == "__main__":
    main()
