"""A network's own preprocessing as operations on tensors that give what the same steps give on a picture of 8 bits."""

from timm.data import create_transform
from timm.data.transforms import CenterCropOrPad, ResizeKeepRatio
from torch import nn
from torchvision.transforms import Compose, Resize

from equidiff_cli.target.prepare import resized


def preprocessing(config):
    """Pictures (N, 3, H, W) in [0, 1], differentiable -> what the network takes: resized, cropped, normalised.

    Up to the rounding to 8 bits, which has no gradient, it is timm's transform of a `PIL.Image`: after both passes of
    that resize, values lie within one level of 255 (docs/how-it-works.md).

    Args:
        config: of timm's `resolve_model_data_config`, or with the same keys: `input_size`, `interpolation`, `mean`,
            `std`, `crop_pct`, `crop_mode`.
    """
    steps = [InRange(step) if isinstance(step, (Resize, ResizeKeepRatio)) else step for step in _steps(config)]
    return Compose(steps)


def _steps(config):
    steps = create_transform(**config).transforms
    padding = [step for step in steps if isinstance(step, CenterCropOrPad)]
    for step in padding:  # with the mean, which is a level of 255 for pictures alone: 0 once it is subtracted
        step.fill = 0
    return [step for step in steps if step not in padding] + padding


class InRange(nn.Module):
    """A resize that is clamped to [0, 1] after each of its two passes, see `prepare.resized`.

    Args:
        step: a `Resize` of torchvision or a `ResizeKeepRatio` of timm: says to which size, and how.
    """

    def __init__(self, step):
        super().__init__()
        self.step = step

    def size(self, x):
        """(height, width) to which pictures (N, C, H, W) are resized."""
        if isinstance(self.step, ResizeKeepRatio):
            return self.step.get_params(x, self.step.size, self.step.longest)
        if not isinstance(self.step.size, int):
            return list(self.step.size)
        shorter = min(x.shape[-2:])
        return [self.step.size * side // shorter for side in x.shape[-2:]]

    def forward(self, x):
        return resized(x, self.size(x), self.step.interpolation.value)
