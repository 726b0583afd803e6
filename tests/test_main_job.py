"""The main job as a newcomer runs it, on the shipped models with the default settings."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from equidiff_cli.pictures.convert import to_tensor
from equidiff_cli.request.part import part
from equidiff_cli.request.schema import composed
from equidiff_cli.target.small import embedded


@pytest.fixture(scope="module")
def spread():
    """Standard deviation of the cat logit over 64 unguided samples that the run itself does not use."""
    prior = part(composed(), "prior").build(device=torch.device("cpu"), autocast=torch.float32)
    noise = torch.stack([prior.noise(1000 + i) for i in range(64)])
    target = embedded("smallconv")
    with torch.no_grad():
        return torch.cat([target(prior.decode(prior.flow(part)))[:, 3] for part in noise.split(16)]).std().item()


def test_seven_of_eight_reach_the_threshold_and_the_files_hold_the_value(equidiff, tmp_path, spread):
    done = equidiff("run", "objective.label=cat")
    assert done.returncode == 0, done.stderr
    directory = tmp_path / done.stdout.strip()
    records = [json.loads(line) for line in (directory / "samples.jsonl").read_text().splitlines()]
    converged = [record for record in records if record["status"] == "converged"]
    assert len(records) == 8 and len(converged) >= 7
    target = embedded("smallconv")
    with torch.no_grad():
        wanted = target(to_tensor(Image.open(directory / "query.png"))[None])[0, 3].item()
        for record in converged:
            value = target(to_tensor(Image.open(directory / record["file"]))[None])[0, 3].item()
            assert abs(value - wanted) <= 0.05 * spread

    pictures = [np.asarray(Image.open(directory / record["file"]), float) for record in records]
    pictures.append(np.asarray(Image.open(directory / "query.png"), float))
    distances = [np.abs(a - b).mean() for i, a in enumerate(pictures) for b in pictures[:i]]
    assert min(distances) > 10, "samples differ from each other and from the query, in 8-bit grey levels on average"
    roughness = [np.abs(np.diff(p, axis=1)).mean() for p in pictures]
    assert max(roughness) < 40, "neighbouring pixels of white noise differ by 85 on average, those of photographs by 10"
