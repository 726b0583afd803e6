"""The plane in a figure: training points, the objective, the level curve of a query, and the samples on it."""

import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from PIL import Image

from equidiff_cli.circles import rings
from equidiff_cli.circles.levelcurve import field_of, on_grid, trace
from equidiff_cli.circles.plane import EXTENT, from_plane

INSIDE, OUTSIDE, MEMBER = "#2166ac", "#b2182b", "#ffd92f"
SHADES = MaxNLocator(24, symmetric=True)  # of the objective, at round values


def draw_panel(axes, objective, query, members, title):
    """One query in the plane: query (2,), members (N, 2).

    Of an objective with several values the first is shaded; each has its level curve, and the set is where they meet.
    """
    values, axis = on_grid(field_of(objective), EXTENT, cells=200)
    shades = SHADES.tick_values(-np.abs(values).max(), np.abs(values).max())
    surface = axes.contourf(axis, axis, values, shades, cmap="RdBu", alpha=0.5)
    points, labels = rings.training_points()
    for label, colour in enumerate((INSIDE, OUTSIDE)):
        axes.scatter(*points[labels == label].T, s=2, color=colour, linewidths=0)
        axes.scatter(
            [], [], s=14, color=colour, linewidths=0, label=f"data, {rings.CLASSES[label]}"
        )  # seen in the legend
    with torch.no_grad():
        levels = objective(from_plane(query[None].float()))[0].tolist()
    lines = [line for k, level in enumerate(levels) for line in trace(field_of(objective, k), level, EXTENT)]
    for i, line in enumerate(lines):
        axes.plot(*line.T, color="black", linewidth=1.0, label=None if i else "level curve")
    axes.scatter(*members.T, s=16, color=MEMBER, edgecolors="black", linewidths=0.6, zorder=3, label="samples")
    axes.scatter(*query, s=90, marker="*", color="white", edgecolors="black", linewidths=0.8, zorder=4, label="query")
    axes.set(aspect="equal", xlim=(-1.9, 1.9), ylim=(-1.9, 1.9), xticks=(-1, 0, 1), yticks=(-1, 0, 1), title=title)
    return surface


def draw_run(objective, query, members):
    """The figure of one run as a PIL picture: query (2,), members (N, 2), tensors."""
    return draw([(objective, query, members, f"{len(members)} samples, query ({query[0]:.3g}, {query[1]:.3g})")])


def draw(panels):
    """Several `draw_panel`s side by side as a PIL picture; each (objective, query, members, title)."""
    figure = Figure(figsize=(3.6 * len(panels) + 1.4, 4.6), dpi=150, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    row = figure.subplots(1, len(panels), squeeze=False, sharey=True)[0]
    for axes, panel in zip(row, panels, strict=True):
        surface = draw_panel(axes, *panel)
    figure.colorbar(surface, ax=list(row), label="objective", shrink=0.75)
    handles, names = row[0].get_legend_handles_labels()
    columns = 5 if len(panels) > 1 else 3
    figure.legend(handles, names, loc="outside lower center", ncols=columns, frameon=False, fontsize=9)
    canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3])
