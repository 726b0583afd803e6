"""A network's view of the original beside that of the query, where a small prior shrinks away what the network sees."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from equidiff_cli.circles.points import Points
from equidiff_cli.parts.objectives import Features, Logit, Margin, Probability
from equidiff_cli.pictures.medium import Pictures
from equidiff_cli.request.views import differing, views
from equidiff_cli.target.preprocessing import preprocessing
from equidiff_cli.target.target import Target

MEDIUM, SIDE = Pictures(), 16
QUICK = ("prior=embedded", "samples=1", "budget.steps=1", "prior.steps=1", "null_samples=2")


class Stripes(nn.Module):
    """Class 1 as far as neighbouring columns differ, class 0 otherwise."""

    def __init__(self, scale=20.0):
        super().__init__()
        self.scale, self.differences = scale, nn.Identity()

    def forward(self, x):
        found = self.differences((x[..., 1:] - x[..., :-1]).abs().mean((1, 2, 3))[:, None])
        return self.scale * torch.cat([0.1 - found, found - 0.1], 1)


def target(scale=20.0):
    config = dict(input_size=(3, 64, 64), mean=(0, 0, 0), std=(1, 1, 1), crop_pct=1.0, interpolation="bicubic")
    return Target(Stripes(scale), preprocessing(config), ["plain", "striped"], "stripes")


def striped(width, height, stripe=2):
    values = (np.arange(width) // stripe % 2 * 255).astype(np.uint8)
    return Image.fromarray(np.broadcast_to(values[None, :, None], (height, width, 3)).copy())


@pytest.fixture
def seen(tmp_path):
    """(picture, target, objective class, its options) -> views and the lines on them."""

    def call(picture, network, kind=Logit, *options):
        picture.save(tmp_path / "q.png")
        query = MEDIUM.query(tmp_path / "q.png", SIDE)[None]
        objective = kind(network, query, *(options or [None]))
        found, lines = views(MEDIUM, tmp_path / "q.png", network, objective, query)
        assert lines == []
        return found, differing(found, network, objective)

    return call


def test_what_is_shrunk_away_is_said(seen):
    found, lines = seen(striped(96, 64), target())
    assert found["original"]["size"] == [96, 64] and found["query"]["size"] == [SIDE, SIDE]
    assert (found["original"]["top"], found["query"]["top"]) == ("striped", "plain")
    picture = torch.from_numpy(np.array(striped(96, 64))).permute(2, 0, 1)[None] / 255
    logits = target()(picture)[0]
    assert found["original"]["value"] == pytest.approx([logits[0].item()])  # the logit of what the query is: plain
    assert found["original"]["probability"] == pytest.approx(logits.softmax(0)[1].item())
    top, value = lines
    assert top.startswith("the top class of stripes is striped (") and "plain (" in top
    assert "in the original at 96 x 64 pixels" in top and "in query.png at 16 x 16" in top
    assert value.startswith("logit of plain is ") and "logits in the original" in value


@pytest.mark.parametrize("picture", [striped(96, 64, 48), Image.new("RGB", (300, 200), "red")])
def test_what_stays_is_not_said(seen, picture):
    found, lines = seen(picture, target())
    assert found["original"]["top"] == found["query"]["top"] == "plain" and lines == []


@pytest.mark.parametrize(
    ("kind", "options", "scale", "count"),
    [
        (Margin, ("striped", "plain"), 3.0, 2),  # by 2 * 3 * 0.5 or so
        (Margin, ("striped", "plain"), 0.5, 1),
        (Probability, ("striped",), 3.0, 2),  # from 0.09 by more than 0.2
        (Probability, ("striped",), 0.2, 1),
        (Features, ("differences", "none"), 1.0, 2),  # by more than a quarter
    ],
)
def test_amounts(seen, kind, options, scale, count):
    assert len(seen(striped(64, 64, 2), target(scale), kind, *options)[1]) == count


def test_no_view_where_nothing_is_shrunk(seen):
    assert seen(striped(SIDE, SIDE), target()) == (None, [])
    assert views(Points(), "inner", None, None, torch.zeros(1, 2, 1, 1)) == (None, [])


def test_a_network_for_one_size_has_one_view(seen):
    class Fixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(3 * SIDE * SIDE, 2)

        def forward(self, x):
            return self.fc(x.flatten(1))

    found, lines = seen(striped(96, 64), Target(Fixed(), nn.Identity(), ["a", "b"], "fixed"))
    assert lines == [] and "shapes" in found["original"]["error"] and "top" in found["query"]


def test_originals_are_bounded(tmp_path):
    for width, height, size in (
        (3000, 2000, (150, 100)),
        (80, 60, (80, 60)),
        (5000, 40, (160, 40)),
        (90, 9000, (90, 360)),
    ):
        Image.new("L", (width, height), 200).save(tmp_path / "q.png")
        original, _ = MEDIUM.original(tmp_path / "q.png", 100)
        assert original.shape == (3, *size[::-1]) and (original == 200 / 255).all()


def test_a_run_says_and_keeps_it(equidiff, tmp_path):
    striped(96, 64, 1).convert("CMYK").save(tmp_path / "stripes.tif")
    (tmp_path / "mine.py").write_text(
        "import torch\n\nclass Net(torch.nn.Module):\n    classes = ['plain', 'striped']\n\n    def forward(self, x):\n"
        "        found = (x[..., 1:] - x[..., :-1]).abs().mean((1, 2, 3))[:, None]\n"
        "        return 20 * torch.cat([0.1 - found, found - 0.1], 1)\n"
    )
    done = equidiff("run", "query=stripes.tif", "target=function", "target._target_=mine.Net", *QUICK)
    assert done.returncode == 0, done.stderr
    summary = json.loads((tmp_path / done.stdout.strip() / "summary.json").read_text())
    profile, top, value = summary["warnings"]
    assert "is CMYK without a colour profile" in profile
    assert top.startswith("the top class of Net is striped (1.00)") and "logit of plain" in value
    said = " ".join(done.stderr.split())
    assert all(f"warning: {line[:60]}" in said for line in summary["warnings"])
    assert summary["views"]["original"]["top"] == "striped" and summary["views"]["query"]["top"] == "plain"


@pytest.mark.parametrize("there", ["nothing", "folder", "file"])
def test_the_default_query_anywhere(equidiff, tmp_path, there):
    if there == "folder":
        (tmp_path / "cat").mkdir()
    elif there == "file":
        (tmp_path / "cat").write_text("x")
    done = equidiff("run", *QUICK)
    assert done.returncode == 0, done.stderr
    summary = json.loads((tmp_path / done.stdout.strip() / "summary.json").read_text())
    assert [line[:33] for line in summary["warnings"]] == ["query=cat: is the shipped picture;"[:33]] * (
        there != "nothing"
    )
    assert summary["views"]["original"]["top"] == summary["views"]["query"]["top"] == "cat"
