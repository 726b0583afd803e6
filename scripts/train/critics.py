"""Critics: small networks that learn to tell samples from real pictures, while the prior learns to mislead them.

One looks at pixels, the others at what `smallresnet` sees at four depths: it knows what matters in a picture, so the
critics can be small and are good after a few hundred steps (Sauer et al. 2021, arXiv:2111.01007).
"""

import torch
import torch.nn.functional as F
from torch import nn

LAYERS = ((64, 64), (128, 80), (256, 128), (256, 128))  # of `smallresnet`: channels, and those inside their critic
GROUP = 8  # samples whose spread a critic is told
RIGOR = 0.1  # weight of `Critic.restlessness`
NUDGE = 0.1  # standard deviation of the disturbance under which a critic is to stay as it is
SHIFT = 3  # pixels by which a picture is moved at most before `smallresnet` sees it
GRAIN = 0.05  # standard deviation of the noise it then gets at most


def disturbed(pictures, generator):
    """Pictures (N, 3, H, W), each moved by up to `SHIFT` pixels, with mirrored edges, and with noise of some strength.

    So what `smallresnet` sees in a sample cannot be won by patterns that suit its grid or a single picture (Zhao et al.
    2020, arXiv:2006.10738).
    """
    count, _, height, width = pictures.shape
    draw = dict(generator=generator, device=pictures.device)
    down, right = torch.randint(0, 2 * SHIFT + 1, (2, count, 1), **draw)
    rows, columns = (
        torch.arange(side, device=pictures.device) + move for side, move in ((height, down), (width, right))
    )
    padded, index = F.pad(pictures, (SHIFT,) * 4, mode="reflect"), torch.arange(count, device=pictures.device)
    moved = padded[index[:, None, None], :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
    strength = GRAIN * torch.rand(count, 1, 1, 1, **draw)
    return moved + strength * torch.randn(moved.shape, **draw)


def views(classifier, pictures, generator):
    """What the critics get of pictures (N, 3, 32, 32) in [0, 1]: the pictures, then what its four layers give.

    The layers see them `disturbed`; what the first one gives is averaged to 8 x 8 places.
    """
    normal = classifier.transform(disturbed(pictures, generator))
    _, first, *others = classifier.model.stages(normal)
    return [pictures, F.avg_pool2d(first, 2), *others]


class Residual(nn.Module):
    """x + leaky_relu(conv(x)), 3 x 3."""

    def __init__(self, width):
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x):
        return x + F.leaky_relu(self.conv(x), 0.2)


class Critic(nn.Module):
    """Says of every place of a view (N, C, H, W) how real it looks, (N, 1, H', W'), to be compared with another's.

    It is also told how much the samples of a group differ, for each of its channels (after Karras et al. 2018,
    arXiv:1710.10196), so that samples cannot all be alike, or too strong or pale.

    Args:
        body: the network before the last layer; it ends with `width` channels.
        real: (M, C, H, W), such views of real pictures: views are normalised to mean 0 and variance 1 of these.
    """

    def __init__(self, body, width, real):
        super().__init__()
        self.body = body
        self.last = nn.Conv2d(2 * width, 1, 1)
        self.register_buffer("mean", real.mean((0, 2, 3), keepdim=True))
        std = real.std((0, 2, 3), keepdim=True)
        self.register_buffer("std", std.clamp_min(std.mean() / 10))  # a feature that is hardly ever there stays small

    def normalise(self, view):
        return (view - self.mean) / self.std

    def forward(self, x):
        """The verdict on normalised views x; they are one group, unless their number is a multiple of `GROUP`."""
        h = self.body(x)
        groups = h.unflatten(0, (-1, GROUP)) if len(h) % GROUP == 0 else h[None]
        spread = (groups.var(1, correction=0, keepdim=True) + 1e-6).sqrt().mean((3, 4), keepdim=True)
        return self.last(torch.cat([h, spread.expand_as(groups).flatten(0, 1)], 1))

    def restlessness(self, x, verdict, generator):
        """How much the verdict on a normalised view x changes when x is disturbed a little, for each unit of it.

        It stands for the squared norm of the gradient (Lin et al. 2025, arXiv:2501.08316), which keeps critics fair.
        """
        nudge = NUDGE * torch.randn(x.shape, generator=generator, device=x.device)
        change = self(x + nudge) - verdict
        return change.mean((1, 2, 3)).square().mean() / NUDGE**2


def of_pixels(real):
    """The critic of pictures; `real` are such."""
    body = nn.Sequential(
        nn.Conv2d(3, 32, 3, padding=1),
        nn.LeakyReLU(0.2),
        nn.Conv2d(32, 64, 4, 2, 1),
        nn.LeakyReLU(0.2),
        nn.Conv2d(64, 128, 4, 2, 1),
        nn.LeakyReLU(0.2),
        Residual(128),
    )
    return Critic(body, 128, real)


def of_features(channels, width, real):
    """A critic of features with so many channels; `real` are those of real pictures."""
    body = nn.Sequential(nn.Conv2d(channels, width, 1), nn.LeakyReLU(0.2), Residual(width), Residual(width))
    return Critic(body, width, real)


def critics(real):
    """A critic for each of the `views` `real` of real pictures."""
    pixels, *features = real
    sizes = zip(LAYERS, features, strict=True)
    return nn.ModuleList([of_pixels(pixels), *(of_features(*size, seen) for size, seen in sizes)])


def doubt(better, worse):
    """How little the verdicts `better` are above the verdicts `worse`, pair by pair (Jolicoeur-Martineau 2019,
    arXiv:1807.00734). Against a pair no prior can win by making one kind of picture only (Huang et al. 2024,
    arXiv:2501.05441)."""
    return F.softplus(worse - better).mean()


def deception(judges, real, samples):
    """The loss of the prior: how surely critics tell `views` of its samples from those of as many real pictures."""
    total = 0.0
    for critic, theirs, mine in zip(judges, real, samples, strict=True):
        with torch.no_grad():
            verdict = critic(critic.normalise(theirs))
        total = total + doubt(critic(critic.normalise(mine)), verdict)
    return total


def detection(judges, real, samples, fair, generator):
    """The loss of the critics, and for each the share of pairs (real, sample) in which the real one looks more real.

    Their restlessness counts with the weight `fair` times `RIGOR`.
    """
    total, right = 0.0, []
    for critic, theirs, mine in zip(judges, real, samples, strict=True):
        seen = [critic.normalise(view) for view in (theirs, mine)]
        higher, lower = verdicts = [critic(x) for x in seen]
        total = total + doubt(higher, lower)
        if fair:
            restless = sum(critic.restlessness(*both, generator) for both in zip(seen, verdicts, strict=True))
            total = total + fair * RIGOR * restless / 2
        right.append((higher.mean((1, 2, 3)) > lower.mean((1, 2, 3))).float().mean())
    return total, torch.stack(right).detach()


class Remembered(nn.Module):
    """The samples of the last steps, which critics must go on telling from real pictures.

    Args:
        steps, batch: how many steps are remembered, of so many samples each.
    """

    def __init__(self, steps, batch):
        super().__init__()
        self.register_buffer("pictures", torch.zeros(steps, batch, 3, 32, 32))

    def keep(self, samples, step):
        """Take in the samples (batch, 3, 32, 32) of a step, in the place of the oldest."""
        self.pictures[step % len(self.pictures)] = samples.detach()

    def draw(self, count, step, generator):
        """So many of those that are kept after this step, with repetition."""
        kept = self.pictures[: step + 1].flatten(0, 1)
        return kept[torch.randint(0, len(kept), (count,), generator=generator, device=kept.device)]
