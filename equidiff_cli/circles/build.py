"""The prior and the target of `experiment=circles`: read the shipped weights, put the parts together."""

from dataclasses import dataclass

from torch import nn

from equidiff_cli.checks import one_of
from equidiff_cli.circles import rings
from equidiff_cli.circles.networks import IdentityDecoder, Perceptron, PointFlow
from equidiff_cli.circles.plane import to_plane
from equidiff_cli.circles.points import Points
from equidiff_cli.prior.accepted import check_solver
from equidiff_cli.prior.prior import Prior
from equidiff_cli.shipped import WEIGHTS
from equidiff_cli.target.target import Target
from equidiff_cli.weights.read import load, read, sha256


@dataclass(frozen=True, kw_only=True)
class Circles:
    """A flow from noise to the points of two rings, whose decoder is the identity; a `PriorSource`.

    Args:
        image_size: side of what it makes; a point is one pixel.
        solver, steps, shift: see `Prior`.
    """

    medium = Points()

    image_size: int
    solver: str
    steps: int
    shift: float

    def __post_init__(self):
        one_of("prior.image_size", self.image_size, [1])
        check_solver(self.solver, self.steps, self.shift)

    def sources(self):
        return []

    def build(self, device, autocast):
        file = WEIGHTS / "circles_flow.safetensors"
        state = read(file, "prior")
        mean, std = (state.pop(f"latents_{name}").float().to(device) for name in ("mean", "std"))
        return Prior(
            load(PointFlow, state, "prior", file).to(device),
            IdentityDecoder(),
            mean,
            std,
            name="circles",
            weights={file.name: sha256(file)},
            solver=self.solver,
            steps=self.steps,
            shift=self.shift,
            autocast=autocast,
            levels=None,
        )


class ToPlane(nn.Module):
    """What a picture's preprocessing is to a classifier: points as the loop knows them -> coordinates (N, 2)."""

    def forward(self, x):
        return to_plane(x)


@dataclass(frozen=True)
class CirclesTarget:
    """The perceptron that tells the inner ring from the outer one; a `TargetSource`."""

    def sources(self):
        return []

    def build(self):
        file = WEIGHTS / "circles_perceptron.safetensors"
        model = load(Perceptron, read(file, "target"), "target", file)
        return Target(model, ToPlane(), rings.CLASSES, "circles", [file], channels=2)
