"""Small classifiers whose shortcut is known, and a twin without any: what an audit can be tried on.

In the training pictures of the four, something that is not a cat goes with the class cat; the honest twin saw the same
four cues at random. `scripts/train/shortcuts.py` trained them.
"""

from dataclasses import dataclass

from equidiff_cli.checks import one_of
from equidiff_cli.shipped import WEIGHTS
from equidiff_cli.target.small import CIFAR10, SmallConvNet, prepare
from equidiff_cli.target.target import Target
from equidiff_cli.weights.read import load, read

CUES = ("colour", "background", "corner", "pattern")
NAMES = (*CUES, "honest")
WIDTHS = (24, 48, 64)


def small():
    """The network of all of them, 0.1 M parameters."""
    return SmallConvNet(widths=WIDTHS)


@dataclass(frozen=True, kw_only=True)
class Planted:
    """A classifier of 32 x 32 pictures with the ten classes of CIFAR-10; a `TargetSource`.

    Args:
        shortcut: one of `NAMES`.
    """

    shortcut: str

    def __post_init__(self):
        one_of("target.shortcut", self.shortcut, NAMES)

    def sources(self):
        return []

    def build(self):
        file = WEIGHTS / f"planted_{self.shortcut}.safetensors"
        model = load(small, read(file, "target"), "target", file)
        return Target(model, prepare(), CIFAR10, f"planted_{self.shortcut}", [file])
