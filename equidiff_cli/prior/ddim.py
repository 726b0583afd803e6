"""The deterministic path of a diffusion model: DDIM (Song et al. 2021, arXiv:2010.02502) at eta = 0."""

import torch

from equidiff_cli.prior.sampler import Adjoint, integrate


class DDIM:
    """A path (see `paths`) on the noise schedule of a `DDIMScheduler` of diffusers. A step is equation 12 of the paper:

        x_0 = what the network says of the picture behind x, clipped where the schedule asks for it
        x'  = sqrt(a') x_0 + sqrt(1 - a') e,    e what it says of the noise in x

    where a is the share of the picture's variance in x, and a' that after the step.

    Args:
        scheduler: it; its configuration says what the network predicts: the noise, the picture or their velocity.
        steps: evaluations of the network.
    """

    noises = 1
    no_likelihood = "its steps are those of a trained noise schedule, which has no times of one's own"

    def __init__(self, scheduler, steps):
        config = scheduler.config
        scheduler.set_timesteps(steps)
        self.steps = self.evaluations = steps
        self.times = scheduler.timesteps.float()
        self.predicts, self.range = config.prediction_type, config.clip_sample_range if config.clip_sample else None
        shares, stride = scheduler.alphas_cumprod.double(), config.num_train_timesteps // steps
        after = [t - stride for t in scheduler.timesteps.tolist()]
        self.now = shares[scheduler.timesteps.cpu()].tolist()
        self.after = [(shares[t] if t >= 0 else scheduler.final_alpha_cumprod).item() for t in after]

    def step(self, predict, x, i, _):
        """One step of x (N, C, H, W); `predict` maps (x, i) to what the network says."""
        a, after, said = self.now[i], self.after[i], predict(x, i)
        signal, noise = a**0.5, (1 - a) ** 0.5
        if self.predicts == "epsilon":
            picture, e = (x - noise * said) / signal, said
        elif self.predicts == "sample":
            picture, e = said, (x - signal * said) / noise
        else:
            picture, e = signal * x - noise * said, signal * said + noise * x
        if self.range is not None:
            picture = picture.clamp(-self.range, self.range)
        return after**0.5 * picture + (1 - after) ** 0.5 * e

    def __call__(self, velocity, z, adjoint=Adjoint()):
        return integrate(self.step, velocity, z, torch.arange(self.steps + 1.0), adjoint)

    def once(self, velocity, z):
        return self.step(velocity, z, 0, None)
