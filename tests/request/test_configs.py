"""Every option of every configuration group composes and its part can be built; help and files agree."""

import re
from pathlib import Path

import pytest
import torch
import yaml
from hydra import compose, initialize_config_dir

from equidiff_cli.request import build as configuration
from equidiff_cli.request.check import check
from equidiff_cli.request.help import SHOWN, command_help
from equidiff_cli.request.schema import configs, register
from equidiff_cli.target.target import adopt

GROUPS = sorted(folder.name for folder in configs().iterdir() if folder.is_dir() and folder.name != "hydra")
OPTIONS = [(group, file.stem) for group in GROUPS for file in sorted((configs() / group).glob("*.yaml"))]
EXTRA = {  # what an option needs besides, to be built here
    ("objective", "function"): ["objective._target_=tests_objective.mean_colour"],
    ("target", "timm"): ["target.name=resnet10t"],
    ("target", "function"): ["target._target_=tests_objective.Linear"],
    ("prior", "local"): ["prior.network=network.pt", "prior.decoder=decoder.pt", "prior.stats=stats.pt"],
}


@pytest.fixture
def composed(monkeypatch):
    """Compose `run` with overrides."""
    register()

    def call(*overrides):
        with initialize_config_dir(str(configs()), version_base="1.3"):
            return compose("run", overrides=list(overrides))

    return call


@pytest.fixture(scope="module")
def target():
    from equidiff_cli.target.small import embedded

    return embedded("smallconv")


def test_groups_are_those_of_the_help():
    assert set(GROUPS) == set(SHOWN)
    assert len(OPTIONS) > 20


@pytest.mark.parametrize(("group", "option"), OPTIONS)
def test_every_option_composes_and_its_part_is_built(composed, target, group, option, monkeypatch, tmp_path):
    (tmp_path / "tests_objective.py").write_text(
        "def mean_colour(target, query):\n    return lambda x: x.mean((2, 3))\n"
        "import torch\nclass Linear(torch.nn.Module):\n    def forward(self, x):\n        return x.mean((2, 3))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    config = composed(f"{group}={option}", *EXTRA.get((group, option), []))
    check(config)
    points = config.target._target_ == "equidiff_cli.circles.build.target"
    query = torch.rand(1, 2, 1, 1) if points else torch.rand(1, 3, 32, 32)
    if group in ("objective", "experiment"):
        made = configuration.build(config, "target") if points else target
        objective = configuration.build(config, "objective", made, query)
        values = objective(torch.rand(2, *query.shape[1:]))
        assert values.ndim == 2 and len(values) == 2
        assert configuration.build(config, "distance")(values, values[0]).shape == (2,) or values.shape[1] == 1
    elif group == "prior" and option not in ("auto", "embedded", "circles"):  # files: see test_published.py
        assert config.prior._target_ == "equidiff_cli.prior.published.published"
        sources = configuration.sources(config, "prior")
        assert [source.key for source in sources] == ["prior.network", "prior.decoder", "prior.stats"]
        assert all(source.repo or source.path for source in sources)
    elif group == "prior":
        prior = configuration.build(config, "prior", device=torch.device("cpu"), autocast=torch.float32)
        picture = prior.decode(torch.zeros(1, *prior.latent_shape))
        assert picture.shape[2:] == (config.prior.image_size, config.prior.image_size)
        assert configuration.medium(config).channels == (2 if option == "circles" else 3)
    elif (
        group == "target" and config.target._target_ == "equidiff_cli.target.timm_models.timm_model"
    ):  # files: test_imagenet.py
        (source,) = configuration.sources(config, "target")
        assert source.repo.startswith("timm/") and source.key == "target.weights"
    elif group == "target" and option == "function":
        assert adopt(configuration.build(config, "target"), query)(query).shape == (1, 3)
    elif group == "target" and option == "efficientnet_lite0":
        assert configuration.build(config, "target")(query).shape == (1, 1000)
    elif group == "target":
        assert configuration.build(config, "target")(query).shape == (1, 2 if points else 10)
    elif group != "budget":
        configuration.build(config, group)


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


def test_flat_has_dotted_keys(composed):
    flat = configuration.flat(composed("filter.cutoff=0.25"))
    assert flat["filter.cutoff"] == 0.25 and flat["budget.steps"] > 0 and "hydra.run.dir" not in flat


def test_configurations_stand_at_the_top_level():
    assert configs() == Path(__file__).parents[2] / "configs"
