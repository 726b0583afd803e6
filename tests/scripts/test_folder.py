"""A prior of one's own pictures, end to end at a tiny scale: both trainings, their files, a run with them."""

import json
import shlex

import pytest
import torch
from PIL import Image

from scripts.train import folder, prior


@pytest.fixture
def pictures(tmp_path):
    """Ten pictures of two classes, and a file that is none."""
    generator = torch.Generator().manual_seed(0)
    for index in range(10):
        place = tmp_path / "pictures" / ("dark" if index % 2 else "light")
        place.mkdir(parents=True, exist_ok=True)
        shade = 40 if index % 2 else 200
        pixels = (torch.randn(40, 50, 3, generator=generator) * 20 + shade).clamp(0, 255).byte().numpy()
        Image.fromarray(pixels).save(place / f"{index}.png")
    (tmp_path / "pictures" / "notes.txt").write_text("no picture")
    return tmp_path / "pictures"


def test_pictures_of_a_folder_and_their_classes(pictures):
    images, labels, names = folder.pictures(pictures, 32)
    assert images.shape == (10, 3, 32, 32) and images.dtype == torch.uint8 and names == ["dark", "light"]
    assert labels.tolist() == [0] * 5 + [1] * 5
    assert images[:5].float().mean() < 60 < 180 < images[5:].float().mean()
    empty = pictures / "nothing"
    empty.mkdir()
    with pytest.raises(ValueError, match=r"^--data=\S+: holds 0 pictures; at least 2 are needed$"):
        folder.pictures(empty, 32)


def test_what_is_trained_on_a_folder_is_taken_by_prior_local(pictures, equidiff, tmp_path, monkeypatch, capsys):
    words = f"--data {pictures} --size 64 --out {tmp_path / 'mine'} --steps 2 --decay 1 --batch 4 --width 32 --depth 2"
    words += f" --autoencoder-steps 2 --device cpu --threads 1 --checkpoint {tmp_path / 'check' / 'prior.pt'}"
    monkeypatch.setattr("sys.argv", ["prior", *words.split()])
    prior.main()
    line = capsys.readouterr().out.splitlines()[-1]
    before = (tmp_path / "mine" / "network.safetensors").read_bytes()
    prior.main()  # it is finished: nothing is trained again
    assert (tmp_path / "mine" / "network.safetensors").read_bytes() == before
    quick = ("samples=1", "budget.steps=1", "null_samples=2", "prior.steps=2", "hydra.run.dir=out")
    done = equidiff("run", *shlex.split(line), "prior.label=light", *quick)
    assert done.returncode == 0, done.stderr
    record = json.loads((tmp_path / "out" / "samples.jsonl").read_text())
    assert record["label"] == {"index": 1, "name": "light"}
    assert Image.open(tmp_path / "out" / record["file"]).size == (64, 64)


@pytest.mark.parametrize("words", ["--data x", "--data x --size 64"])
def test_what_has_no_default_is_asked_for(monkeypatch, words):
    monkeypatch.setattr("sys.argv", ["prior", *words.split()])
    with pytest.raises(SystemExit, match=r"^--(autoencoder|out): has no default"):
        prior.main()
