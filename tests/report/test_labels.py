"""Which run is which: settings that differ, options that explain them, queries, paths."""

import pytest
import yaml

from equidiff_cli.report.labels import differing, labels, texts
from equidiff_cli.runs.reader import read


def runs_of(make_run, *settings):
    return [read(make_run(str(i), samples=1, **one), str(i)) for i, one in enumerate(settings)]


def names(runs):
    return labels(runs, differing(runs))


def test_what_differs_names_a_run(make_run):
    runs = runs_of(make_run, *({"filter.cutoff": c, "batch": i + 1} for i, c in enumerate((0.25, 0.5))))
    assert differing(runs) == ["filter.cutoff", "batch"], "what asks no other question stands last"
    assert names(runs) == ["0: filter.cutoff=0.25", "1: filter.cutoff=0.5"]
    assert differing(runs[:1]) == [] and names(runs[:1]) == ["0"]


@pytest.mark.parametrize(
    ("key", "values", "shown"),
    [
        ("objective.layer", ("layer2.0.conv1", "layer3.0.conv1"), ("layer2.0.conv1", "layer3.0.conv1")),
        ("target.weights", ("a.pth", "b.pth"), ("a.pth", "b.pth")),
        ("target.weights", ("/long/way/a.pth", "/long/way/b.pth"), ("a.pth", "b.pth")),
        ("target.weights", ("/long/one/a.pth", "/long/two/a.pth"), ("one/a.pth", "two/a.pth")),
        ("target.weights", ("/a.pth", "/two/a.pth"), ("/a.pth", "two/a.pth")),
        ("filter._target_", ("equidiff_cli.parts.filters.Ideal", "my.Box"), ("Ideal", "Box")),
        ("objective.label", (None, "dog"), ("null", "dog")),
    ],
)
def test_names_of_code_and_ways_to_files_are_shortened(make_run, key, values, shown):
    runs = runs_of(make_run, *({key: value} for value in values))
    assert texts(runs, key) == list(shown)
    assert names(runs) == [f"{i}: {key.removesuffix('._target_')}={text}" for i, text in enumerate(shown)]


def test_all_settings_of_a_few_and_the_first_of_many(make_run):
    keys = ("filter.cutoff", "seed", "optimizer.lr", "budget.steps", "null_samples")
    runs = runs_of(make_run, *({key: i for key in keys[:3]} for i in (1, 2)))
    assert names(runs)[0] == "0: filter.cutoff=1, seed=1, optimizer.lr=1"
    many = [read(make_run(f"many {i}", samples=1, **{key: i for key in keys}), str(i)) for i in (1, 2)]
    assert names(many)[1].endswith(", …") and names(many)[1].count("=") == 4


def test_a_query_is_known_by_what_it_shows(make_run):
    pixels = "query (SHA-256 of its pixels)"
    runs = runs_of(make_run, *({"query": q, pixels: h} for q, h in (("a/dog.png", "1"), ("/b/cat.png", "2"))))
    assert differing(runs) == ["query"] and names(runs) == ["0: query=a/dog.png", "1: query=cat.png"]
    renamed = [read(make_run(f"r{i}", samples=1, query=q, **{pixels: "1"}), q) for i, q in enumerate(("a", "b"))]
    assert differing(renamed) == []


def test_options_that_were_chosen_stand_for_all_that_they_set(make_run):
    """Four settings differ with the optimiser; its name says them all. Where it does not, the settings are named."""

    def run(name, option, **settings):
        path = make_run(name, samples=1, **settings)
        runtime = {"runtime": {"choices": {"optimizer": option}}}
        (path / ".hydra" / "hydra.yaml").write_text(yaml.safe_dump({"hydra": runtime}))
        return read(path, name)

    sgd = {"optimizer._target_": "parts.SGD", "optimizer.lr": 0.5}
    adam = {"optimizer._target_": "parts.Adam", "optimizer.lr": 0.1, "optimizer.betas": [0.9, 0.99]}
    runs = [run("0", "sgd", **sgd), run("1", "adam", **adam)]
    assert differing(runs) == ["optimizer"] and names(runs) == ["0: optimizer=sgd", "1: optimizer=adam"]
    runs.append(run("2", "adam", **adam | {"optimizer.lr": 0.2}))
    assert "optimizer.lr" in differing(runs) and len(set(names(runs))) == 3
