"""Units: which channels of a layer are constant over the set, which are free, and what they see."""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from equidiff_cli.engine.device import exact
from equidiff_cli.explain.maps import alike, inputs
from equidiff_cli.pictures.convert import to_tensor
from equidiff_cli.pictures.read import load
from equidiff_cli.request.explanation import labels_in, pictures_in
from equidiff_cli.study.findings import Section, words_beside
from equidiff_cli.study.metric import metric
from equidiff_cli.study.sets import each
from equidiff_cli.target.layers import outputs

WORDS = words_beside(__file__)
CONSTANT, FREE = 0.25, 0.8  # spread over members by that over unguided samples
HIGHEST = 0.005  # share of positions at which a unit counts as active (Bau et al. 2017)


def units(case):
    """The section `units` of an `Explained`."""
    section = Section("units", case, WORDS, {"constant_below": CONSTANT, "free_above": FREE})
    if not case.layers:
        section.absent("units", "the target shows no layer that gives a map")
    for layer in case.layers:
        for one in (constant, free):
            section.add(one, say={"key": layer.replace(".", "_")}, layer=layer)
        shown = {"samples": case.samples, "unguided": case.unguided}
        lines = [
            {"name": name, "values": ratios(set, layer).sort().values.tolist()}
            for name, set in shown.items()
            if len(set) >= 2
        ]
        if lines:
            section.curve("ratios", list(range(len(lines[0]["values"]))), lines, layer=layer)
    return section


@torch.no_grad()
def activations(case, x, layer):
    """What a layer gives, (N, C, h, w) on the CPU, for inputs."""
    with exact():
        parts = [
            outputs(case.forward.model, lambda part=part: case.forward(part), layer, case.case.target.name)[0]
            for part in x.split(case.options.batch)
        ]
    return torch.cat([part.float().cpu() for part in parts])


def pooled_units(case, x, layer):
    """Means over positions, (N, C)."""
    return activations(case, x, layer).mean((2, 3))


@each
def unit(set, layer):
    """How active each channel is, (N, C)."""
    return pooled_units(set.case, inputs(set), layer)


def ratios(set, layer):
    """Standard deviations (C,) over a set by those over all unguided samples; channels that never vary are left out."""
    every = unit(set.case.everyone, layer).double().std(0)
    return (unit(set, layer).double().std(0) / every)[every > 0]


@metric(needs=4, null=alike)
def constant(set, layer):
    return (ratios(set, layer) < CONSTANT).double().mean()


@metric(needs=4, null=alike)
def free(set, layer):
    return (ratios(set, layer) > FREE).double().mean()


def ranked(case):
    """Every unit of every layer, the most constant first: its spread ratio, its mean over members and unguided samples,
    and of a segmentation the label that it fits best."""
    found = []
    for layer in case.layers if len(case.samples) >= 2 else []:
        members, every = unit(case.samples, layer), unit(case.everyone, layer)
        ratio = members.std(0) / every.std(0)
        labels = dissected(case, layer) if case.options.segmentation else {}
        rows = [
            {"layer": layer, "channel": channel, "ratio": ratio[channel].item()}
            | {"members": members[:, channel].mean().item(), "unguided": every[:, channel].mean().item()}
            | labels.get(channel, {})
            for channel in (every.std(0) > 0).nonzero().flatten().tolist()
        ]
        found += sorted(rows, key=lambda row: row["ratio"])
    return found


def dissected(case, layer):
    """channel -> the label whose masks it fits best, and how well: intersection over union of the masks with where the
    channel is among its highest `HIGHEST` (Network Dissection, Bau et al. 2017, arXiv:1704.05796)."""
    folder, size = case.options.segmentation, case.query.pictures.shape[-1]
    files = pictures_in(Path(folder) / "pictures")
    pictures = torch.stack([to_tensor(load(file, size, folder)) for file in files])
    masks = {label: torch.zeros(len(files), size, size, dtype=torch.bool) for label in labels_in(folder)}
    for label, of in labels_in(folder).items():
        for i, file in enumerate(files):
            if file.stem in of:
                masks[label][i] = to_tensor(load(of[file.stem], size, folder)).mean(0) > 0.5
    seen = activations(case, case.forward.enter(pictures.to(case.query.pictures.device)), layer)
    return {channel: fitting(seen[:, channel], masks) for channel in range(seen.shape[1])}


def fitting(seen, masks):
    """The label whose masks (M, H, W) a channel (M, h, w) fits best, {"label", "iou"}."""
    size = next(iter(masks.values())).shape[1:]
    large = F.interpolate(seen[:, None], size, mode="bilinear")[:, 0]
    active = large > np.quantile(large.numpy(), 1 - HIGHEST)
    overlaps = {
        label: ((active & mask).sum() / (active | mask).sum().clamp_min(1)).item() for label, mask in masks.items()
    }
    best = max(overlaps, key=overlaps.get)
    return {"label": best, "iou": overlaps[best]}
