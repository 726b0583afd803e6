"""No prior: pixels, or their Fourier coefficients, are optimised until the target gives the value.

Inversion of a representation with total variation and jitter (Mahendran & Vedaldi 2015, arXiv:1412.0035), and feature
visualisation by Fourier coefficients with a penalty on high frequencies (Olah, Mordvintsev & Schubert 2017,
doi:10.23915/distill.00007). With `question=raise` it is activation maximisation.
"""

import torch

from equidiff_cli.methods.events import BUDGET, CONVERGED, GOING, NONFINITE, STATUS, Finished, Step
from equidiff_cli.parts.accepted import accepted
from equidiff_cli.parts.filters import Gaussian
from equidiff_cli.parts.optimizers import Adam
from equidiff_cli.prior.prior import sample_seed

STREAM = 2**34  # added to the number of a step: keeps its jitter apart from all noise
START = 0.01  # standard deviation of what is optimised, at first
MIDDLE = Gaussian(0.5)  # what it takes away counts as high frequencies


class Activation:
    """Adam on pixels or coefficients w, one sample apart from the other: x = sigmoid(picture of w).

    The gradient is that of the loss of a shifted picture, plus penalties; the picture as it stands is what is measured.

    Args:
        steps, threshold: the budget.
        space: "fourier" or "pixels".
        lr: of Adam.
        tv: weight of the mean total variation.
        frequency: weight of the mean square of what a Gaussian filter at half of Nyquist takes away.
        jitter: pixels that the picture is shifted by at random before each gradient, at most, in either direction.
    """

    ignores = ("optimizer", "budget.patience", "gradient_steps", "checkpoint", "near")
    guided = False

    def __init__(self, steps, threshold, *, space, lr, tv, frequency, jitter):
        self.steps, self.threshold = steps, threshold
        self.space, self.lr = accepted("method.space", space), accepted("method.lr", lr)
        self.tv, self.frequency = accepted("method.tv", tv), accepted("method.frequency", frequency)
        self.jitter = accepted("method.jitter", jitter)
        self.optimizer, self.side = Adam(self.lr, (0.9, 0.999), 1e-8), None

    def prepare(self, query, prior):
        """Pictures are as large as the query (1, C, H, W); `ValueError` if that is none."""
        if query.shape[1] != 3 or min(query.shape[2:]) < 2:
            raise ValueError("method=activation: makes pictures; this prior makes points")
        self.side = query.shape[-1]

    def start(self, seed):
        """What is optimised first, (C, H, W), of one sample: (3, S, S), or real and imaginary parts (6, S, S/2 + 1)."""
        shape = (3, self.side, self.side) if self.space == "pixels" else (6, self.side, self.side // 2 + 1)
        return START * torch.randn(shape, generator=torch.Generator().manual_seed(seed))

    def picture(self, w):
        """Pictures (N, 3, S, S) in (0, 1); coefficients of frequency f weigh 1 / f, as natural pictures do."""
        if self.space == "fourier":
            down, across = torch.fft.fftfreq(self.side)[:, None], torch.fft.rfftfreq(self.side)
            weight = (1 / torch.hypot(down, across).clamp_min(1 / self.side)).to(w)
            w = torch.fft.irfft2(weight * torch.complex(*w.chunk(2, 1)), s=(self.side, self.side), norm="ortho") / 4
        return w.sigmoid()

    def penalty(self, x):
        """What is asked of pictures (N, 3, S, S) besides the value, (N,)."""
        down, across = x.diff(dim=2)[..., :-1], x.diff(dim=3)[..., :-1, :]
        variation = (down.square() + across.square() + 1e-8).sqrt().mean((1, 2, 3))
        return self.tv * variation + self.frequency * (x - MIDDLE(x)).square().mean((1, 2, 3))

    def shifted(self, x, seeds, steps):
        """Pictures moved around their borders by up to `jitter` pixels, by the seed and the step of each."""
        moved = []
        for row, seed, step in zip(x, seeds, steps, strict=True):
            generator = torch.Generator().manual_seed(sample_seed(seed, STREAM + step))
            moved.append(
                row.roll(torch.randint(-self.jitter, self.jitter + 1, (2,), generator=generator).tolist(), (1, 2))
            )
        return torch.stack(moved)

    def __call__(self, prior, question, slots, memory):
        """Draw the samples in `slots`; a `Finished` for every sample that leaves, a `Step` for every step."""
        while slots.unfinished:
            yield from memory.attempt(lambda: self.step(prior, question, slots, memory.plan.batch))

    def step(self, prior, question, slots, batch):
        """A measurement and a step of every sample in work."""
        slots.fill(self.start, self.optimizer.init)
        seeds, steps = slots.seed.split(batch), slots.steps.split(batch)
        parts = [
            self.measure(prior, question, w, seed.tolist(), step.tolist())
            for w, seed, step in zip(slots.z0.split(batch), seeds, steps, strict=True)
        ]
        measured = {name: torch.cat([part[0][name] for part in parts]) for name in parts[0][0]}
        gradient = torch.cat([part[1] for part in parts])
        w, state = self.optimizer.step(slots.z0, gradient, slots.state)
        losses = [measured[name].cpu() for name in ("loss", "loss_unfiltered", "loss_filtered")]
        norms, last = gradient.flatten(1).norm(dim=1).cpu(), slots.steps + 1 == self.steps
        status = torch.where(losses[0] < self.threshold, CONVERGED, torch.where(last, BUDGET, GOING))
        status[~losses[0].isfinite() | ((status == GOING) & ~norms.isfinite())] = NONFINITE
        index, count = slots.index.tolist(), (slots.steps + 1).tolist()
        leaving = slots.advance(measured, w, state, status == GOING, losses[0])
        finished = [Finished(index[i], STATUS[status[i]], count[i], 0, seconds, best) for i, best, seconds in leaving]
        return [*finished, Step(index, count, *(row.tolist() for row in losses), norms.tolist(), [None] * len(index))]

    def measure(self, prior, question, w, seeds, steps):
        """What is measured of the pictures of w (n, ...) as their files will have them, and the gradient."""
        w = w.detach().requires_grad_()
        with torch.enable_grad():
            x = self.picture(w)
            answer = question(prior.filed(x))
            moved = question(prior.filed(self.shifted(x, seeds, steps))) if self.jitter else answer
            penalty = self.penalty(x) + sum(more.square().sum(1) for more in moved[4:])
            (gradient,) = torch.autograd.grad((moved[0] + moved[1] + penalty).sum(), w)
        x, (unfiltered, filtered, values, filtered_values, *_) = prior.filed(x.detach()), answer
        measured = dict(
            loss=unfiltered + filtered,
            loss_unfiltered=unfiltered,
            loss_filtered=filtered,
            objective=values,
            objective_filtered=filtered_values,
            picture=question.shown(x) if hasattr(question, "shown") else x,
            penalty=penalty,
        )
        return {name: value.detach() for name, value in measured.items()}, gradient
