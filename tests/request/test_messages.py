"""What is said of a configuration that cannot be composed: one line with the key, the value and what is accepted."""

from dataclasses import fields

import pytest
from hydra import compose, initialize_config_dir
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from equidiff_cli.checks import choices
from equidiff_cli.request import auto
from equidiff_cli.request import build as configuration
from equidiff_cli.request.check import check
from equidiff_cli.request.messages import explain
from equidiff_cli.request.schema import RunConfig, configs, register

OWN = {  # files of a user's own
    "experiment/open.yaml": "filter: [\n",
    "experiment/key.yaml": "# @package _global_\nsampels: 3\n",
    "experiment/inner.yaml": "# @package _global_\nbudget:\n  step: 3\n",
    "experiment/value.yaml": "# @package _global_\nsamples: many\n",
    "experiment/option.yaml": "# @package _global_\ndefaults:\n  - override /filter: gauss\n",
    "experiment/group.yaml": "# @package _global_\ndefaults:\n  - override /filtre: gaussian\n",
    "experiment/bare.yaml": "samples: 3\n",
    "experiment/unfinished.yaml": "# @package _global_\nbatch: ${\n",
    "experiment/list.yaml": "- samples\n",
    "filter/tab.yaml": "_target_: a.b\n\tcutoff: 0.5\n",
}
GROUPS = sorted(folder.name for folder in configs().iterdir() if folder.is_dir())
KEYS = sorted(field.name for field in fields(RunConfig))
WRONG = {
    "budget.step=5": "budget.step: no such key; use one of budget.patience, budget.steps, budget.threshold",
    "hydra.run.dri=x": "hydra.run.dri: no such key; use one of hydra.run.dir",
    "optimizer.l=1": "optimizer.l: no such key; use one of optimizer.damping, optimizer.longest, optimizer.most,"
    " optimizer.noise",
    "optimizer.damping.x=3": "optimizer.damping.x: no such key; optimizer.damping has none",
    "target.weights=my.pth": "target.weights: the chosen option of target has no such key, only"
    " target=efficientnet_lite0, target=timm",
    "prior.network=a.pt": "prior.network: the chosen option of prior has no such key, only prior=imf,"
    " prior=lightningdit_xl, prior=local, prior=sit_xl",
    "prior.architecture.depth=3": "prior.architecture: the chosen option of prior has no such key, only"
    " prior=facm, prior=local, prior=sit_xl",
    "+samples=3": "+samples: there is such a key; give samples=... without +",
    "prior/choice=embedded": "prior/choice: no such group; " + choices("prior/choice", GROUPS),
    "samples=2,4": "samples=2,4: several values; -m sweeps over them, samples=[2,4] gives a list, 'samples=\"2,4\"' one"
    " text",
    "query=été.png": "query=été.png: not understood; values with é in them must be quoted twice, such as"
    " 'query=\"été.png\"'",
    "query=~/My #1 {b}.png": "query=~/My #1 {b}.png: not understood; values with ~ # { } in them must be quoted twice,"
    " such as 'query=\"~/My #1 {b}.png\"'",
    "query=a=b.png": "query=a=b.png: not understood; values with = in them must be quoted twice, such as"
    " 'query=\"a=b.png\"'",
    "dog.png": "dog.png: no key; give key=value, such as query=dog.png",
    "samples=null": "samples=null: must have a value",
    "budget.steps=null": "budget.steps=null: must have a value",
    "samples=2.5": "samples=2.5: must be a whole number",
    "tf32=maybe": "tf32=maybe: must be true or false",
    "optimizer=null": "optimizer=null: use one of adam, gauss_newton, polyak, sgd, shampoo",
    "optimizer=3": "optimizer=3: use one of adam, gauss_newton, polyak, sgd, shampoo",
    "experiment=unfinished": "batch: no viable alternative at input '${'",
    "hydra/job_logging=null": "hydra/job_logging=null: use one of console, stderr",
    "=3": "=3: no key; give key=value",
    "+=3": "+=3: no key; give key=value",
    "~=3": "~=3: no key; give key=value",
    "~": "~: no key; give key=value",
    "+": "+: no key; give key=value",
    "~nothing": "~nothing: there is nothing of that name to take out",
    "~optimizer.nothing": "~optimizer.nothing: there is nothing of that name to take out",
    "~optimizer=sgd": "~optimizer=sgd: there is nothing of that name to take out",
    "+filter=gaussian": "+filter: an option of filter is chosen already; give filter=... without +",
    "++filter=gaussian": "++filter=gaussian: is an option of a group; give filter=gaussian without ++",
    "+experiment=circles": "+experiment: an option of experiment is chosen already; give experiment=... without +",
    "+query.size=1": "query: is a value and has no keys; give query=...",
    "seed=choice()": "seed=choice(): gives no values; list them, such as -m seed=a,b",
    "seed=choice(1,,2)": "seed=choice(1,,2): not understood as a choice of values; list them, such as -m seed=a,b",
    "seed=,": "seed=,: nothing stands beside a comma; -m sweeps over values, such as seed=a,b",
    "seed=1,": "seed=1,: nothing stands beside a comma; -m sweeps over values, such as seed=a,b",
    "~budget.steps": "budget.steps: Budget (DictConfig) does not support deletion",
    "experiment=key": "experiment=key: sampels: no such key; " + choices("sampels", KEYS),
    "experiment=inner": "experiment=inner: budget.step: no such key; use one of budget.patience, budget.steps,"
    " budget.threshold",
    "experiment=value": "experiment=value: samples=many: must be a whole number",
    "experiment=option": "filter=gauss: use one of butterworth, gaussian, ideal, none, tab",
    "experiment=group": "experiment=group: filtre: no such group; " + choices("filtre", GROUPS),
    "experiment=bare": "experiment=bare: must hold keys, and begin with the line # @package _global_",
    "experiment=list": "experiment=list: must hold keys, and begin with the line # @package _global_",
    "experiment=open": "conf/experiment/open.yaml, line 2: not understood as YAML: expected the node content, but found"
    " '<stream end>'",
    "filter=tab": "conf/filter/tab.yaml, line 2: not understood as YAML: found character '\\t' that cannot start any"
    " token",
}
WRONG_EVALUATION = {
    "jpeg=90": "jpeg=90: must be a list such as [1,2]",
    "tolerances=0.1": "tolerances=0.1: must be a list such as [1,2]",
    "output=[a]": "output=['a']: must be text",
}


@pytest.fixture(autouse=True)
def own(tmp_path, monkeypatch):
    """The folder of the user's own options; the directory is that above it."""
    for name, text in OWN.items():
        file = tmp_path / "conf" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(auto.VARIABLE, "embedded")
    register()
    return tmp_path / "conf"


def said(command, own, *words):
    words = [f"hydra.searchpath=[file://{own}]", *words]
    with (
        initialize_config_dir(str(configs()), version_base="1.3"),
        pytest.raises((HydraException, OmegaConfBaseException, YAMLError, OSError, ValueError)) as caught,
    ):
        compose(command, overrides=words)
    return explain(caught.value, configs(), words)


@pytest.mark.parametrize("word", WRONG)
def test_what_is_said_of_a_run(own, word):
    assert said("run", own, word) == WRONG[word]


@pytest.mark.parametrize("word", WRONG_EVALUATION)
def test_what_is_said_of_an_evaluation(own, word):
    assert said("evaluate", own, word) == WRONG_EVALUATION[word]


def test_the_value_that_counts_is_the_last_one(own):
    assert said("run", own, "samples=3", "samples=few").startswith("samples=few: must be a whole number")
    assert said("run", own, "filter=ideal", "objective=probability", "filter=0.5").startswith("filter=0.5: use one of")


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("+foo=1", r"^foo: no such key; none of \d+ names is near"),
        ("+budget.step=2", r"^budget.step: no such key; use one of budget.steps, budget.threshold, budget.patience$"),
        ("~samples", r"^samples: has no default, give a value \(samples=\.\.\.\)$"),
        ("samples=${nope}", r"^samples: Interpolation key 'nope' not found$"),
        ("optimizer.damping=${nope}", r"^optimizer.damping: Interpolation key 'nope' not found$"),
    ],
)
def test_what_composes_but_leaves_a_key_too_many_or_too_few(word, expected):
    with initialize_config_dir(str(configs()), version_base="1.3"):
        config = compose("run", overrides=[word])
    with pytest.raises(ValueError, match=expected):
        check(config)


def test_in_a_sweep_the_one_value_that_is_wrong_is_named(own):
    """Jobs are composed one by one, the words are those of the command line."""
    with (
        initialize_config_dir(str(configs()), version_base="1.3"),
        pytest.raises((HydraException, ValueError)) as caught,
    ):
        compose("run", overrides=["samples=x"])
    assert explain(caught.value, configs(), ["samples=1,x"]) == "samples=x: must be a whole number"
    error = ValueError("Config group override must be a string or a list. Got NoneType")
    said = "optimizer=null: use one of adam, gauss_newton, polyak, sgd, shampoo"
    assert explain(error, configs(), ["optimizer=adam,null"]) == said


def test_an_option_that_is_written_as_a_value():
    with initialize_config_dir(str(configs()), version_base="1.3"):
        config = compose("run")
    config.target = "mynet"
    with pytest.raises(ValueError, match=r"^target=mynet: must hold keys; .* - override /target: mynet$"):
        check(config)


def test_what_a_users_own_code_refuses_is_not_taken_for_a_key(tmp_path, monkeypatch):
    (tmp_path / "other_net.py").write_text("def make():\n    return make(zzz=1)\n")
    monkeypatch.syspath_prepend(tmp_path)
    with initialize_config_dir(str(configs()), version_base="1.3"):
        config = compose("run", overrides=["target=function", "target._target_=other_net.make"])
    with pytest.raises(ValueError, match=r"^target._target_=other_net.make: make\(\) got an unexpected keyword"):
        configuration.build(config, "target")


def test_a_key_that_a_part_does_not_take():
    with initialize_config_dir(str(configs()), version_base="1.3"):
        config = compose("run", overrides=["+filter.cutof=0.3"])
    with pytest.raises(ValueError, match=r"^filter.cutof: no such key; use one of cutoff$"):
        configuration.build(config, "filter")
