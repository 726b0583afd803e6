"""What a question learns of unguided samples, and where samples begin, is the same in every shard of a run."""

import json

import torch

from equidiff_cli.prior import starts

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
