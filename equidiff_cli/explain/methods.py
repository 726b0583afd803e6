"""Attribution methods, all through captum: maps that say which part of an input made a value.

Each takes the `Forward`, inputs (N, C, h, w), what stands for absence (1, C, h, w) and `Settings`; it gives
attributions of the shape of the inputs, or with one channel. Memory is bounded by the batch.
"""

import warnings
import zlib
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from captum import attr
from torch import nn

from equidiff_cli.engine.device import exact
from equidiff_cli.explain.cells import cell_of

# What captum's DeepLIFT has rules for, as far as networks for pictures have them.
RULES = (nn.ReLU, nn.ELU, nn.LeakyReLU, nn.Sigmoid, nn.Tanh, nn.Softplus, nn.MaxPool2d, nn.Softmax)


@dataclass(frozen=True)
class Settings:
    """What methods are told besides.

    Args:
        steps, draws: evaluations a picture, of gradients and of perturbed pictures.
        cells: a side, which perturbations take away as one.
        layer: the module of Grad-CAM, or None.
        batch, seed: as of the request.
    """

    steps: int
    draws: int
    cells: int
    layer: nn.Module | None
    batch: int
    seed: int


def saliency(forward, x, baseline, settings):
    """|gradient| (Simonyan et al. 2014, arXiv:1312.6034)."""
    return attr.Saliency(forward).attribute(x)


def input_x_gradient(forward, x, baseline, settings):
    """Gradient times what is there: (x - baseline) * gradient, the first-order share (Shrikumar et al. 2016)."""
    return attr.Saliency(forward).attribute(x, abs=False) * (x - baseline).detach()


def integrated_gradients(forward, x, baseline, settings):
    """Integrated gradients (Sundararajan et al. 2017, arXiv:1703.01365), Gauss-Legendre on `steps` points."""
    return attr.IntegratedGradients(forward).attribute(
        x, baselines=baseline, n_steps=settings.steps, internal_batch_size=max(settings.batch, len(x))
    )


def gradient_shap(forward, x, baseline, settings):
    """Expected gradients with one baseline: random points of the way from it (Lundberg & Lee 2017, Erion et al.
    2021)."""
    method, total = attr.GradientShap(forward), 0
    for i in range(0, settings.steps, settings.batch):
        count = min(settings.batch, settings.steps - i)
        total = total + count * method.attribute(x, baselines=baseline, n_samples=count, stdevs=0.0)
    return total / settings.steps


def guided_backprop(forward, x, baseline, settings):
    """The gradient with negative parts cut off at every ReLU on its way back (Springenberg et al. 2015)."""
    return attr.GuidedBackprop(forward).attribute(x)


def deeplift(forward, x, baseline, settings):
    """DeepLIFT, rescale rule (Shrikumar et al. 2017, arXiv:1704.02685)."""
    return attr.DeepLift(forward).attribute(x, baselines=baseline.expand_as(x))


def gradcam(forward, x, baseline, settings):
    """Grad-CAM (Selvaraju et al. 2017, arXiv:1610.02391) of one layer, enlarged bilinearly, negative parts cut off."""
    found = attr.LayerGradCam(forward, settings.layer).attribute(x, relu_attributions=True)
    return attr.LayerAttribution.interpolate(found, tuple(x.shape[-2:]), "bilinear")


def occlusion(forward, x, baseline, settings):
    """What a window as large as a cell takes away where it lies, mean over its places (Zeiler & Fergus 2014)."""
    window = [-(-side // settings.cells) for side in x.shape[-2:]]
    return attr.Occlusion(forward).attribute(
        x,
        sliding_window_shapes=(x.shape[1], *window),
        strides=(x.shape[1], *(max(1, side // 2) for side in window)),
        baselines=baseline,
        perturbations_per_eval=settings.batch,
    )


def lime(forward, x, baseline, settings):
    """LIME (Ribeiro et al. 2016, arXiv:1602.04938): a sparse linear model of cells that are there or not."""
    return _of_cells(attr.Lime(forward), x, baseline, settings)


def kernel_shap(forward, x, baseline, settings):
    """KernelSHAP (Lundberg & Lee 2017, arXiv:1705.07874): Shapley values of cells by weighted regression."""
    return _of_cells(attr.KernelShap(forward), x, baseline, settings)


def _of_cells(method, x, baseline, settings):
    """A value a cell, shared evenly by its numbers: captum gives each of them the whole."""
    where = cell_of(*x.shape[-2:], settings.cells).to(x.device)
    found = method.attribute(
        x,
        baselines=baseline,
        feature_mask=where[None, None].expand(1, x.shape[1], -1, -1),
        n_samples=settings.draws,
        perturbations_per_eval=settings.batch,
    )
    return found / (where.flatten().bincount()[where] * x.shape[1])


def random_map(forward, x, baseline, settings):
    """No explanation: normal numbers, one a cell. What every method has to beat."""
    where = cell_of(*x.shape[-2:], settings.cells)
    return torch.randn(len(x), int(where.max()) + 1)[:, where][:, None].to(x)


@dataclass(frozen=True)
class Method:
    """An attribution method.

    Args:
        attribute: as said above.
        complete: whether its attributions sum to L(x) - L(baseline), up to what it approximates.
        signed: whether it tells what speaks against the value.
        alone: whether it sees one picture at a time, with random numbers that depend on that picture alone.
        double: whether it holds twice as many pictures as it is given.
    """

    attribute: Callable
    complete: bool = False
    signed: bool = True
    alone: bool = False
    double: bool = False


METHODS = {
    "saliency": Method(saliency, signed=False),
    "input_x_gradient": Method(input_x_gradient),
    "integrated_gradients": Method(integrated_gradients, complete=True),
    "gradient_shap": Method(gradient_shap, complete=True, alone=True),
    "guided_backprop": Method(guided_backprop),
    "deeplift": Method(deeplift, complete=True, double=True),
    "gradcam": Method(gradcam, signed=False),
    "occlusion": Method(occlusion, alone=True),
    "lime": Method(lime, alone=True),
    "kernel_shap": Method(kernel_shap, complete=True, alone=True),
}
RANDOM = "random"
EVERY = METHODS | {RANDOM: Method(random_map, alone=True)}


def attributions(name, forward, inputs, baseline, settings):
    """What a method gives for inputs (N, C, h, w): (N, C, h, w) or (N, 1, h, w), float32 on the CPU. A row depends on
    its picture and the seed alone."""
    method, parts = EVERY[name], []
    size = 1 if method.alone else max(1, settings.batch // (2 if method.double else 1))
    for part in inputs.split(size):
        x = part.detach().clone().requires_grad_()
        with exact(), quiet(), seeded(zlib.crc32(part.cpu().numpy().tobytes()) ^ settings.seed):
            parts.append(method.attribute(forward, x, baseline, settings).detach().float().cpu())
    return torch.cat(parts)


@contextmanager
def quiet():
    """Without captum's warnings that it sets hooks, at every call."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "(?s).*(hooks|multiple inputs)", UserWarning)
        yield


@contextmanager
def seeded(seed):
    """Random numbers of torch and of numpy from a seed while this lasts: captum draws from both of their global
    ones."""
    before = np.random.get_state()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        np.random.seed(seed)
        try:
            yield
        finally:
            np.random.set_state(before)


def unable(name, forward, layer):
    """Why a method makes no sense for a network, or None.

    Args:
        layer: of Grad-CAM, or None.
    """
    kinds = {type(module) for module in forward.model.modules()} if forward.model else set()
    if name in ("guided_backprop", "deeplift", "gradcam") and not forward.model:
        return "it needs the network as a torch module whose layers can be seen"
    if name == "guided_backprop" and nn.ReLU not in kinds:
        return "the network has no nn.ReLU: guided backpropagation would be the gradient"
    if name == "deeplift" and not kinds & set(RULES):
        return "captum has rules for layers such as nn.ReLU, and the network has none: its activations are functions"
    if name == "gradcam" and layer is None:
        return "no layer that the value depends on gives a map"
    return None
