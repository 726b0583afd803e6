"""A command is composed once, and Hydra's mode is what it would be had it been composed twice."""

import pytest
from hydra._internal.hydra import Hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf

from equidiff_cli.request import mode
from equidiff_cli.request.launch import launch


@pytest.fixture
def asked(tmp_path, monkeypatch):
    """(What Hydra recorded of each job of `words`, the runs as which it composed the configuration)."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "conf" / "experiment").mkdir(parents=True)
    (tmp_path / "conf" / "experiment" / "swept.yaml").write_text("# @package _global_\nhydra:\n  mode: MULTIRUN\n")
    compose = Hydra.compose_config

    def call(*words):
        composed, jobs = [], []

        def spied(self, *args, **options):
            composed.append(options["run_mode"].name)
            return compose(self, *args, **options)

        with monkeypatch.context() as patch:
            patch.setattr(Hydra, "compose_config", spied)
            patch.setattr("sys.argv", ["equidiff"])
            failures = launch("run", list(words), lambda job: jobs.append(OmegaConf.to_yaml(HydraConfig.get())))
        assert failures == []
        return jobs, composed

    return call


@pytest.mark.parametrize("words", [(), ("-m", "seed=1,2")])
def test_once_is_enough_and_nothing_is_recorded_otherwise(asked, words, monkeypatch):
    words = ("hydra.run.dir=one", "hydra.sweep.dir=many", *words)
    once, composed = asked(*words)
    monkeypatch.setattr(mode, "may_be_said", lambda words: True)
    twice, more = asked(*words)
    assert once == twice and len(once) == max(1, len(words) - 2)
    assert more == ["MULTIRUN", *composed], "Hydra asks for its mode no longer"


@pytest.mark.parametrize(
    "words", [("hydra.mode=MULTIRUN",), ("++hydra.mode=MULTIRUN",), ("--config-dir=conf", "experiment=swept")]
)
def test_a_mode_that_is_said_is_taken(asked, words):
    jobs, _ = asked(*words, "hydra.sweep.dir=many", "seed=1,2")
    assert len(jobs) == 2 and all("\nmode: MULTIRUN\n" in job for job in jobs)
