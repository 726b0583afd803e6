"""method=walk on the circles: the noise of the samples has the law of white noise on the set, by quadrature."""

import json

import numpy as np
from safetensors.numpy import load_file

from equidiff_cli.runs.reader import read
from scripts.measure.circles import under_the_prior

WALK = ("experiment=circles", "method=walk", "query=outer", "null_samples=8", "batch=80", "samples=80")
SHORT = ("method.angle=0.3", "method.rotations=4", "method.forget=7", "method.keep=1", "method.tolerance=1e-4")


def test_chains_have_the_law_of_the_prior_on_the_set(equidiff, tmp_path):
    done = equidiff("run", *WALK, *SHORT, "hydra.run.dir=run")
    assert done.returncode == 0, done.stderr
    run = read(tmp_path / "run")
    walked = [record["index"] for record in run.records if record["status"] == "converged"]
    assert len(walked) > 72 and sorted(run.chains) == walked
    noise = run.latents["z_start"][walked].reshape(-1, 2).astype(float)
    assert under_the_prior(run.records[0]["target"], noise) < 2.0, "1 % of ideal samples have more"
    last = [run.chains[index][-1] for index in walked]
    states = np.stack([np.loadtxt(run.file(record)) for record in last])
    samples = np.stack([np.loadtxt(run.file(run.records[index])) for index in walked])
    assert np.array_equal(states, samples), "the sample is the last state"
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())["walk"]
    assert summary["chains"] == len(walked) and summary["moves"] == 8 * len(walked)
    assert 0.5 < summary["moved"] / summary["moves"] < 1
    assert load_file(tmp_path / "run" / "latents.safetensors")["z_start"].shape == (80, 2, 1, 1)
