"""Train one of the embedded classifiers on CIFAR-10.

python scripts/train_classifier.py smallconv --data FOLDER --epochs 30 --out smallconv.safetensors

The recipe is that of the "airbench" networks (Jordan 2024, arXiv:2404.00498) with Muon for the convolutions: a first
layer that whitens the pictures, smoothed labels, normalised filters, a larger learning rate for biases, and mirror
images that alternate between epochs. The last 5,000 training pictures are kept apart: they choose the temperature.
"""

import time

import cifar10
import torch
import torch.nn.functional as F
from torch import nn
from training import Average, Checkpoint, arguments, autocast, export, prepare

from equidiff_cli.classifiers import ARCHITECTURES, MEAN, STD

VALIDATION = 5000
LOGIT_SCALE = 1 / 9  # of the logits while training: slows the last layer down against the others
BIAS_RATE, HEAD_RATE = 0.053, 8e-4  # learning rates a picture: of the biases, of the last layer
WEIGHT_DECAY = 2e-6  # a picture, independent of the learning rate
MOMENTUM = 0.85


def whiten(layer, images):
    """Set a convolution's filters to the leading whitening directions of patches of `images`, and their negatives."""
    size, count = layer.kernel_size[0], layer.out_channels // 2
    patches = images.unfold(2, size, 1).unfold(3, size, 1).permute(0, 2, 3, 1, 4, 5).reshape(-1, 3 * size * size)
    values, vectors = torch.linalg.eigh(torch.cov(patches.T))  # eigenvalues in ascending order
    filters = (vectors / (values + 1e-2).sqrt()).T[-count:].reshape(-1, 3, size, size)
    layer.weight.data.copy_(torch.cat([filters, -filters]))
    layer.weight.requires_grad_(False)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


def initialise(model, images):
    """Whiten the first layer, start the other convolutions near the identity, fix the scales of batch norm at one."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d) and module.kernel_size == (3, 3):
            nn.init.kaiming_uniform_(module.weight, a=5**0.5)
            nn.init.dirac_(module.weight.data[: module.in_channels])
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.ones_(module.weight)
            module.weight.requires_grad_(False)  # the filters are normalised, so is what batch norm sees
    whiten(model.conv1, images)


class Optimizers:
    """Muon for the filters, seen as matrices of fixed norm; SGD with Nesterov momentum for the rest."""

    def __init__(self, model, lr, batch):
        self.filters = [p for p in model.parameters() if p.ndim == 4 and p.requires_grad]
        self.matrices = [nn.Parameter(p.detach().view(len(p), -1)) for p in self.filters]  # the same memory
        biases = [p for name, p in model.named_parameters() if name.endswith("bias") and name != "fc.bias"]
        decay = WEIGHT_DECAY * batch
        slow, fast = HEAD_RATE * batch, BIAS_RATE * batch
        groups = [
            {"params": biases, "lr": fast, "weight_decay": decay / fast},
            {"params": list(model.fc.parameters()), "lr": slow, "weight_decay": decay / slow},
        ]
        self.muon = torch.optim.Muon(self.matrices, lr=lr, momentum=MOMENTUM, weight_decay=0.0)
        self.sgd = torch.optim.SGD(groups, momentum=MOMENTUM, nesterov=True)
        self.peaks = [group["lr"] for group in self._groups()]

    def _groups(self):
        return self.muon.param_groups + self.sgd.param_groups

    @torch.no_grad()
    def step(self, fraction):
        """Update all weights with `fraction` of their peak learning rates, and forget the gradients."""
        for group, peak in zip(self._groups(), self.peaks, strict=True):
            group["lr"] = peak * fraction
        for matrix, filters in zip(self.matrices, self.filters, strict=True):
            matrix.mul_(len(matrix) ** 0.5 / matrix.norm())
            matrix.grad = filters.grad.view_as(matrix)
        self.muon.step()
        self.sgd.step()
        for parameter in self.filters + [p for group in self.sgd.param_groups for p in group["params"]]:
            parameter.grad = None


def rate(step, total, decay):
    """The learning rate's fraction of its peak: a short rise, then constant, then `decay` steps down to zero."""
    return min(1.0, (step + 1) / 50, (total - step) / decay)


@torch.no_grad()
def logits_of(model, images, device):
    model.eval()
    return torch.cat([model(part.to(device)).cpu() for part in images.split(250)])


def calibration_error(logits, labels, bins=15):
    """Expected calibration error: |accuracy - confidence| averaged over bins of confidence (Guo et al. 2017)."""
    confidence, predicted = logits.softmax(1).max(1)
    index = (confidence * bins).long().clamp(max=bins - 1)
    gap = (predicted == labels).float() - confidence
    return torch.zeros(bins).index_add_(0, index, gap).abs().sum().item() / len(labels)


def best_scale(logits, labels):
    """The factor of the logits with the least cross entropy: the inverse temperature of Guo et al. (2017)."""
    scales = torch.logspace(-2, 1, 601)
    losses = torch.stack([F.cross_entropy(logits * scale, labels) for scale in scales])
    return scales[losses.argmin()].item()


def main():
    parser = arguments(__doc__, "checkpoints/{model}.pt")
    parser.add_argument("model", choices=ARCHITECTURES)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--decay", type=int, default=22, help="last epochs, with a falling learning rate")
    parser.add_argument("--batch", type=int, default=500)
    parser.add_argument("--lr", type=float, default=0.08, help="of the filters: radians a step, about [%(default)s]")
    parser.add_argument("--whole", type=int, default=14, help="last epochs, on whole pictures instead of crops")
    parser.add_argument("--crop", type=int, default=24, help="side of the crops [%(default)s]")
    parser.add_argument("--shift", type=int, default=3, help="largest shift in pixels of whole pictures [%(default)s]")
    parser.add_argument("--erase", type=int, default=8, help="side of the square blanked in them [%(default)s]")
    args = parser.parse_args()
    args.checkpoint = args.checkpoint.format(model=args.model)
    device = prepare(args)

    mean, std = torch.tensor(MEAN)[:, None, None], torch.tensor(STD)[:, None, None]
    images, labels = cifar10.load(args.data, "train")
    images = (images / 255 - mean) / std
    (images, kept_images), (labels, kept_labels) = (x.tensor_split([-VALIDATION]) for x in (images, labels))

    model = ARCHITECTURES[args.model]().to(device)
    initialise(model, images[:5000].to(device))
    forward = torch.compile(model) if args.compile else model
    optimizers = Optimizers(model, args.lr, args.batch)
    steps_per_epoch = len(images) // args.batch
    total = args.epochs * steps_per_epoch
    average = Average(model, 0.98)
    generator = torch.Generator().manual_seed(args.seed)
    mirrored = torch.rand(len(images), generator=generator) < 0.5
    checkpoint = Checkpoint(
        args.checkpoint, generator, model=model, average=average, muon=optimizers.muon, sgd=optimizers.sgd
    )
    step, started = checkpoint.load(), time.monotonic()  # a checkpoint is written at the end of an epoch
    model.train()
    while step < total:
        epoch, position = divmod(step, steps_per_epoch)
        if position == 0:
            order = torch.randperm(len(images), generator=generator)
        part = order[position * args.batch :][: args.batch]
        x = cifar10.flip(images[part], mirrored[part] ^ bool(epoch % 2))
        if epoch < args.epochs - args.whole:
            x = cifar10.random_crop(x, args.crop, 0, generator)
        else:
            x = cifar10.random_crop(x, images.shape[-1], args.shift, generator)
            x = cifar10.random_erase(x, args.erase, generator)
        x, y = x.to(device, memory_format=torch.channels_last), labels[part].to(device)
        with autocast(device):
            output = forward(x)
        loss = F.cross_entropy(output.float() * LOGIT_SCALE, y, label_smoothing=0.2)
        loss.backward()
        optimizers.step(rate(step, total, args.decay * steps_per_epoch))
        average.update(model, step)
        step += 1
        if step % steps_per_epoch == 0:
            predicted = logits_of(average.model, kept_images, device).argmax(1)
            accuracy = (predicted == kept_labels).float().mean()
            print(
                f"epoch {epoch + 1}/{args.epochs} loss {loss.item():.3f} validation {accuracy:.4f}"
                f" {time.monotonic() - started:.0f} s",
                flush=True,
            )
            model.train()
            checkpoint.save(step, force=True)

    final = average.model
    logits = logits_of(final, kept_images, device)
    scale = best_scale(logits, kept_labels)
    for parameter in final.fc.parameters():
        parameter.mul_(scale)
    print(f"logits scaled by {scale:.4f}, calibration error {calibration_error(logits * scale, kept_labels):.4f}")
    if args.out:
        export(final, args.out)


if __name__ == "__main__":
    main()
