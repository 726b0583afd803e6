"""Train one of the embedded classifiers on CIFAR-10.

python -m scripts.train.classifier smallconv --data FOLDER --out equidiff_cli/shipped/smallconv.safetensors
"""

import time

import torch
import torch.nn.functional as F
from safetensors.torch import load_file

from equidiff_cli.target.small import ARCHITECTURES, MEAN, STD, SmallConvNet
from scripts.shared import cifar10
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


def normalised(images):
    """Pictures (N, 3, 32, 32) uint8 as the classifiers take them."""
    mean, std = (torch.tensor(x)[:, None, None] for x in (MEAN, STD))
    return (images / 255 - mean) / std


@torch.no_grad()
def logits_of(model, images):
    """Logits (N, classes) of normalised pictures, on the CPU."""
    model.eval()
    return torch.cat([model(part).cpu() for part in images.split(500)])


def soft_labels(labels, other, share, classes=10):
    """Labels (N,) as probabilities (N, classes), a `share` (N,) of each given to the label of picture `other`."""
    exact = F.one_hot(labels, classes).float()
    return torch.lerp(exact, exact[other], share[:, None])


def calibration_error(logits, labels, bins=15):
    """Expected calibration error: |accuracy - confidence| averaged over bins of confidence (Guo et al. 2017)."""
    confidence, predicted = logits.softmax(1).max(1)
    index = (confidence * bins).long().clamp(max=bins - 1)
    gap = (predicted == labels).float() - confidence
    return torch.zeros(bins).index_add_(0, index, gap).abs().sum().item() / len(labels)


def main():
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
    args = parser.parse_args()
    args.checkpoint = args.checkpoint.format(model=args.model)
    device = prepare(args)

    (images, labels), (test_images, test_labels) = (cifar10.load(args.data, split) for split in ("train", "test"))
    images, test_images = (normalised(x).to(device) for x in (images, test_images))
    labels = labels.to(device)

    model = ARCHITECTURES[args.model]().to(device, memory_format=torch.channels_last)
    if isinstance(model, SmallConvNet):  # its first layer is set by the data and stays
        whiten(model.conv1, images[:5000])
    if args.init:
        model.load_state_dict(load_file(args.init))
    forward = torch.compile(model) if args.compile else model
    trained = [p for p in model.parameters() if p.requires_grad]
    decayed = {"params": [p for p in trained if p.ndim > 1], "weight_decay": args.weight_decay}
    plain = {"params": [p for p in trained if p.ndim == 1], "weight_decay": 0.0}
    optimizer = torch.optim.SGD([decayed, plain], momentum=0.9, nesterov=True)
    steps_per_epoch = len(images) // args.batch
    total = args.epochs * steps_per_epoch
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, args.lr, total, pct_start=0.25, anneal_strategy="linear", cycle_momentum=False, div_factor=10
    )
    average = Average(model, args.ema)
    generator = torch.Generator(device).manual_seed(args.seed)
    checkpoint = Checkpoint(
        args.checkpoint, generator, model=model, average=average, optimizer=optimizer, schedule=schedule
    )
    step, started = checkpoint.load(), time.monotonic()  # a checkpoint is written at the end of an epoch
    model.train()
    while step < total:
        if step % steps_per_epoch == 0:
            order = torch.randperm(len(images), generator=generator, device=device)
        part = order[(step % steps_per_epoch) * args.batch :][: args.batch]
        x = cifar10.random_shift(cifar10.random_flip(images[part], generator), 3, generator)
        if args.erase:
            x = cifar10.random_erase(x, args.erase, generator)
        goal = labels[part]
        if args.mix:
            x, other, share = cifar10.random_mix(x, generator)
            goal = soft_labels(goal, other, share)
        with autocast(device):
            output = forward(x.to(memory_format=torch.channels_last))
        loss = F.cross_entropy(output.float(), goal, label_smoothing=args.smoothing)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        average.update(model, step)
        step += 1
        if step % steps_per_epoch == 0:
            predicted = logits_of(average.model, test_images[:2000]).argmax(1)
            accuracy = (predicted == test_labels[:2000]).float().mean()
            print(
                f"epoch {step // steps_per_epoch}/{args.epochs} loss {loss.item():.3f} test {accuracy:.4f}"
                f" {time.monotonic() - started:.0f} s",
                flush=True,
            )
            model.train()
            checkpoint.save(step, force=True)

    final = average.model
    logits = logits_of(final, test_images)
    accuracy = (logits.argmax(1) == test_labels).float().mean()
    print(f"test accuracy {accuracy:.4f}, expected calibration error {calibration_error(logits, test_labels):.4f}")
    if args.out:
        export(final, args.out)


if __name__ == "__main__":
    main()
