"""Numbers, questions, what differs, and the command that repeats a run."""

import shlex

import pytest
import yaml

from equidiff_cli.report.words import command, differing, label, number, outcome, question, setting
from equidiff_cli.runs.reader import read


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (0, "0"),
        (0.0, "0"),
        (7, "7"),
        (1234567, "1 234 567"),
        (0.012345, "0.0123"),
        (12.345, "12.3"),
        (1234.5, "1234"),
        (-0.5, "−0.500"),
        (0.00012345, "1.23 × 10⁻⁴"),
        (-4.5e12, "−4.50 × 10¹²"),
        ("cat", "cat"),
        ([1, 0.5], "1, 0.500"),
    ],
)
def test_numbers_have_three_digits(value, text):
    assert number(value).replace("\N{NO-BREAK SPACE}", " ").replace("\N{THIN SPACE}", " ") == text


@pytest.mark.parametrize(("value", "text"), [(None, "null"), (True, "true"), (3e-4, "0.0003"), (1.0, "1"), ("a", "a")])
def test_settings_are_as_in_a_configuration(value, text):
    assert setting(value) == text


def test_a_run_that_goes_on_asks_with_what_its_settings_say(make_run):
    settings = {"objective._target_": "equidiff_cli.parts.objectives.Neuron", "objective.layer": "layer3"}
    run = read(make_run("run", finished=False, wanted=9, **settings), "run")
    assert "neuron (layer layer3)" in question(run) and "smallconv" in question(run)
    assert outcome(run).startswith("The run is not finished: 4 of 9 samples are.")


def test_what_differs_names_a_run(make_run):
    runs = [read(make_run(str(i), **{"filter.cutoff": c, "batch": i + 1}), str(i)) for i, c in enumerate((0.25, 0.5))]
    assert differing(runs) == ["filter.cutoff", "batch"], "what asks no other question stands last"
    assert [label(run, differing(runs)) for run in runs] == ["0: filter.cutoff=0.25", "1: filter.cutoff=0.5"]
    assert differing(runs[:1]) == []


@pytest.mark.parametrize(
    ("key", "values", "shown"),
    [
        ("objective.layer", ("layer2.0.conv1", "layer3.0.conv1"), ("layer2.0.conv1", "layer3.0.conv1")),
        ("target.weights", ("a.pth", "b.pth"), ("a.pth", "b.pth")),
        ("filter._target_", ("equidiff_cli.parts.filters.Ideal", "my.Box"), ("Ideal", "Box")),
    ],
)
def test_only_names_of_code_are_shortened(make_run, key, values, shown):
    runs = [read(make_run(str(i), **{key: value}), str(i)) for i, value in enumerate(values)]
    assert [label(run, [key]) for run in runs] == [f"{i}: {key}={text}" for i, text in enumerate(shown)]


@pytest.mark.parametrize("query", ["a b.png", "it's", '"quoted"', "$HOME", "`id`", "<script>"])
def test_the_command_comes_back_through_a_shell(make_run, query):
    run = read(make_run("run", overrides=[f'query="{query}"', "filter=ideal"]), "run")
    text, _ = command(run)
    assert shlex.split(text) == ["equidiff", "run", f'query="{query}"', "filter=ideal"]


def test_the_command_names_what_was_chosen_by_itself(make_run):
    path = make_run("run", overrides=["samples=8"])
    runtime = {
        "choices": {"prior": "auto", "prior/choice@prior": "embedded"},
        "config_sources": [{"provider": "main", "path": "x"}, {"provider": "command-line", "path": "my options"}],
    }
    (path / ".hydra" / "hydra.yaml").write_text(yaml.safe_dump({"hydra": {"runtime": runtime}}))
    text, remarks = command(read(path, "run"))
    assert text == "equidiff run --config-dir 'my options' samples=8 prior=embedded"
    assert "prior=auto" in remarks[0]
