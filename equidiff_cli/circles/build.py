"""The prior and the target of `experiment=circles`: read the shipped weights, put the parts together."""

from torch import nn

from equidiff_cli.checks import one_of
from equidiff_cli.circles import rings
from equidiff_cli.circles.networks import IdentityDecoder, Perceptron, PointFlow
from equidiff_cli.circles.plane import to_plane
from equidiff_cli.circles.points import Points
from equidiff_cli.prior.prior import Prior
from equidiff_cli.shipped import WEIGHTS
from equidiff_cli.target.target import Target
from equidiff_cli.weights.read import load, read, sha256


def prior(*, image_size, solver, steps, shift, device, autocast):
    """A flow from noise to the points of two rings; the identity is its decoder.

    Args:
        image_size: side of what it makes; a point is one pixel.
        solver, steps, shift: see `Prior`.
        device, autocast: where it runs and the element type of its network.
    """
    one_of("prior.image_size", image_size, [1])
    file = WEIGHTS / "circles_flow.safetensors"
    state = read(file, "prior")
    mean, std = (state.pop(f"latents_{name}").float().to(device) for name in ("mean", "std"))
    network = load(PointFlow, state, "prior", file).to(device)
    made = Prior(network, IdentityDecoder(), mean, std, solver=solver, steps=steps, shift=shift, autocast=autocast)
    made.name, made.weights = "circles", {file.name: sha256(file)}
    return made


prior.medium = Points


class ToPlane(nn.Module):
    """What a picture's preprocessing is to a classifier: points as the loop knows them -> coordinates (N, 2)."""

    def forward(self, x):
        return to_plane(x)


def target():
    """The perceptron that tells the inner ring from the outer one."""
    file = WEIGHTS / "circles_perceptron.safetensors"
    model = load(Perceptron, read(file, "target"), "target", file)
    return Target(model, ToPlane(), rings.CLASSES, "circles", [file], channels=2)
