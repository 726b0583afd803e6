"""Every option of every configuration group composes and its part can be built; help and files agree."""

import re
from pathlib import Path

import pytest
import torch
import yaml
from omegaconf import OmegaConf

from equidiff_cli.parts.distances import SquaredL2
from equidiff_cli.parts.questions import Invariance
from equidiff_cli.request.build import build
from equidiff_cli.request.check import check
from equidiff_cli.request.help import command_help, groups
from equidiff_cli.request.light import light_prior, ready, sources
from equidiff_cli.request.method import method_of
from equidiff_cli.request.part import part
from equidiff_cli.request.question import question_of
from equidiff_cli.request.schema import composed, configs
from equidiff_cli.runs import reader

GROUPS = sorted(folder.name for folder in configs().iterdir() if folder.is_dir() and folder.name != "hydra")
OPTIONS = [(group, file.stem) for group in GROUPS for file in sorted((configs() / group).glob("*.yaml"))]
EXTRA = {  # what an option needs besides, to be built here
    ("method", "nearest"): ["method.real=."],
    ("objective", "function"): ["objective._target_=tests_objective.mean_colour"],
    ("objective", "all"): ["objective.terms=[{objective: logit},{target: smallresnet,question: raise}]"],
    ("question", "reach"): ["question.value=1"],
    ("target", "timm"): ["target.name=resnet10t"],
    ("target", "function"): ["target._target_=tests_objective.Linear"],
    ("prior", "diffusers"): ["prior.name=owner/name"],
    ("prior", "sit_xl"): ["prior.network=network.pt"],
    ("prior", "local"): ["prior.network=network.pt", "prior.decoder=decoder.pt", "prior.stats=stats.pt"],
}


@pytest.fixture(scope="module")
def target():
    from equidiff_cli.target.small import embedded

    return embedded("smallconv")


def test_groups_are_those_of_the_help():
    assert sorted(groups((configs() / "run.yaml").read_text())) == GROUPS
    assert len(OPTIONS) > 20


@pytest.mark.parametrize(("group", "option"), OPTIONS)
def test_every_option_composes_and_its_part_is_built(target, group, option, monkeypatch, tmp_path):
    (tmp_path / "tests_objective.py").write_text(
        "def mean_colour(target, query):\n    return lambda x: x.mean((2, 3))\n"
        "import torch\nclass Linear(torch.nn.Module):\n    def forward(self, x):\n        return x.mean((2, 3))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    config = composed(f"{group}={option}", *EXTRA.get((group, option), []))
    check(config)
    points = option == "circles"
    query = torch.rand(1, 2, 1, 1) if points else torch.rand(1, 3, 32, 32)
    if group in ("objective", "experiment"):
        made = ready(part(config, "target"), query) if points else target
        objective = part(config, "objective", made, query)
        values = objective(torch.rand(2, *query.shape[1:]))
        assert values.ndim == 2 and len(values) == 2
        assert part(config, "distance")(values, values[0]).shape == (2,) or values.shape[1] == 1
    elif group == "prior":
        light = light_prior(config)
        assert light.medium.channels == (2 if points else 3) and light.steps == config.prior.steps
        if option == "diffusers":  # needs the files of a pipeline: see test_diffusion.py
            assert light.name == "owner/name"
        elif light.sources():  # files: see test_published.py
            keys = ["prior.network", "prior.decoder", "prior.stats"]
            assert [source.key for source in light.sources()] == keys[: len(light.sources())]
            assert all(source.repo or source.path for source in light.sources())
        else:
            prior = light.build(device=torch.device("cpu"), autocast=torch.float32)
            picture = prior.decode(torch.zeros(1, *prior.latent_shape))
            assert picture.shape[2:] == (light.image_size, light.image_size)
    elif group == "target":
        light = part(config, "target")
        if sources(light):  # files: see test_imagenet.py
            (source,) = sources(light)
            assert source.repo.startswith("timm/") and source.key == "target.weights"
        else:
            classes = {"function": 3, "efficientnet_lite0": 1000, "circles": 2}.get(option, 10)
            assert ready(light, query)(query).shape == (1, classes)
    elif group == "question":
        assert question_of(config, target, query, part(config, "distance"), part(config, "filter"))(query)[0].shape == (
            1,
        )
    elif group == "method":
        assert callable(method_of(config))
    elif group != "budget":
        part(config, group)


@pytest.mark.parametrize("file", sorted(configs().rglob("*.yaml")), ids=lambda f: f"{f.parent.name}/{f.stem}")
def test_every_file_begins_with_a_word_and_comments_every_key(file):
    text = file.read_text()
    assert text.startswith("# ") and len(text.splitlines()[0]) < 110
    if "hydra" in str(file.relative_to(configs())):
        return
    text = text.split("\nhydra:\n")[0]
    silent = [line for line in text.splitlines() if re.match(r"\w+:\s+\S", line) and "#" not in line]
    assert all(line.startswith(("_target_: equidiff_cli", "name: small")) for line in silent), silent


def test_help_names_every_group_option_and_key():
    text = command_help("run", configs())
    for group, option in OPTIONS:
        assert re.search(rf"^{group}=$", text, flags=re.M)
        assert re.search(rf"^  [* ] {option}\b", text, flags=re.M), option
    for key in yaml.safe_load((configs() / "run.yaml").read_text()):
        if key not in ("defaults", "hydra"):
            assert re.search(rf"^    {key}=", text, flags=re.M), key


def test_flat_has_dotted_keys():
    flat = reader.flat(OmegaConf.to_container(composed("filter.cutoff=0.25"), resolve=True))
    assert flat["filter.cutoff"] == 0.25 and flat["budget.steps"] > 0 and "hydra.run.dir" not in flat


def test_configurations_stand_at_the_top_level():
    assert configs() == Path(__file__).parents[2] / "configs"


class Plain(Invariance):
    """A question of one's own that has a loss and no residuals."""

    residuals = property()


def test_an_optimizer_that_needs_residuals_is_refused_beside_a_question_without_any(monkeypatch):
    monkeypatch.setattr(
        "equidiff_cli.request.build.question_of",
        lambda config, target, query, *rest: Plain(lambda x: x.mean((2, 3)), SquaredL2(), lambda x: x, query),
    )
    with pytest.raises(ValueError, match=r"^question\._target_=\S+: has no residuals, which optimizer\._target_="):
        build(composed("prior=embedded", "device=cpu", "optimizer=gauss_newton"))


@pytest.mark.parametrize(
    ("words", "scale", "threshold"),
    [
        ([], "auto", 3e-4),
        (["distance=huber"], "auto", 3e-4),
        (["experiment=distribution"], 1.0, 0.01),
        (["experiment=embedding"], 1.0, 0.1),
        (["experiment=embedding", "budget.threshold=0.02", "loss_scale=3"], 3, 0.02),
    ],
)
def test_a_distance_with_a_unit_of_its_own_says_how_near_is_the_same(words, scale, threshold):
    parts = build(composed("prior=embedded", *words))
    assert (parts.loss_scale, parts.threshold, parts.method.threshold) == (scale, threshold, threshold)
    assert (parts.identity["loss_scale"], parts.identity["budget.threshold"]) == (scale, threshold)


def test_residuals_that_share_a_row_are_named():
    said = build(composed("prior=embedded", "experiment=embedding", "optimizer=gauss_newton")).summary["warnings"]
    assert any("512 values to solve for, more than optimizer.most=20" in line for line in said)
    assert not build(composed("prior=embedded", "objective=logits", "optimizer=gauss_newton")).summary["warnings"]
    assert not build(composed("prior=embedded", "experiment=embedding", "optimizer=polyak")).summary["warnings"]
