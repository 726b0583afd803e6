"""What a question learns of unguided samples, and where samples begin, is the same in every shard of a run."""

import json

import torch

from equidiff_cli.pictures.convert import to_image
from equidiff_cli.prior import starts
from equidiff_cli.runs.merge import merge
from equidiff_cli.runs.reader import read

FIRST = "{objective: logit,question: reach,question.percentile: 90}"
TERMS = f"[{FIRST},{{objective: logit,objective.label: dog,question: lower}}]"
WORDS = ("prior=embedded", "prior.steps=1", "null_samples=4", "samples=2", "batch=1", "budget.steps=1")
ASKED = ("objective=all", f"objective.terms={TERMS}", "near=0.5")


def records(path):
    rows = [json.loads(line) for line in (path / "samples.jsonl").read_text().splitlines()]
    return [{key: value for key, value in row.items() if key != "seconds"} for row in rows]


def test_shards_ask_what_one_run_asks(equidiff, tmp_path, monkeypatch):
    """A percentile of unguided samples, the units of terms, the noise of the query."""
    own = torch.randn(1, 10, 8, 8, generator=torch.Generator().manual_seed(0))
    monkeypatch.setattr(starts, "invert", lambda prior, picture: (own.clone(), 40.0))
    places = {"alone": [], "S/shards/000": ["shards=2", "shard=0"], "S/shards/001": ["shards=2", "shard=1"]}
    for place, of_shard in places.items():
        done = equidiff("run", *WORDS, *ASKED, *of_shard, f"hydra.run.dir={place}")
        assert done.returncode == 0, done.stderr
    alone, first, second = (records(tmp_path / place) for place in places)
    assert [*first, *second] == alone


def test_shards_without_noise_become_one_run(equidiff, tmp_path):
    """Of real pictures, of which a shard knows how many the whole run needs, and for which no noise is found."""
    (tmp_path / "real").mkdir()
    for i in range(2):
        x = torch.rand(3, 32, 32, generator=torch.Generator().manual_seed(i))
        to_image(x).save(tmp_path / "real" / f"{i}.png")
    words = (*WORDS[:-1], "method=nearest", "method.real=real", "question=counterfactual", "shards=2")
    for k in range(2):
        done = equidiff("run", *words, f"shard={k}", f"hydra.run.dir=S/shards/00{k}")
        assert done.returncode == 0 and "nothing was searched for" in done.stderr, done.stderr
    merge(tmp_path / "S")
    run = read(tmp_path / "S")
    assert run.finished and len(run.records) == 2 and not (tmp_path / "S" / "latents.safetensors").exists()
    done = equidiff("run", *words, "samples=4", "shard=1", "hydra.run.dir=T/shards/001")
    assert done.returncode == 2 and "samples=4: method.real=real holds 2 pictures" in done.stderr, done.stderr
