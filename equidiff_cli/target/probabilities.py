"""Networks that end in a softmax: their outputs are probabilities already, which a second softmax would flatten."""

import torch

WITHIN = 1e-4  # of 1, what probabilities sum to


@torch.no_grad()
def are_given(target, pictures):
    """Whether a target's outputs for all these pictures (N, 3, H, W) are probabilities: at least 0, with sum 1."""
    outputs = target(pictures)
    if not isinstance(outputs, torch.Tensor) or outputs.ndim != 2 or outputs.shape[1] < 2:
        return False
    return bool((outputs >= 0).all() and ((outputs.float().sum(1) - 1).abs() < WITHIN).all())


def probabilities(target, outputs):
    """Class probabilities (N, classes) of a target's outputs (N, classes): their softmax, or the outputs themselves."""
    return outputs if given(target) else outputs.softmax(1)


def logits(target, outputs):
    """Logits (..., classes) of a target's outputs: these themselves, of probabilities the logarithm, at least 1e-30."""
    return outputs.clamp_min(1e-30).log() if given(target) else outputs


def given(target):
    """Whether it was found to give probabilities when it was built."""
    return getattr(target, "gives_probabilities", False)


def warning(target):
    """Lines on what may mislead."""
    if given(target):
        yield (
            f"target={target.name}: gives probabilities, as after a softmax: they are taken as they are, also where"
            " logits are meant; objective=probability holds them, for logits leave the softmax out"
        )
