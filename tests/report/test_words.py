"""Numbers, questions, what differs, and the command that repeats a run."""

import shlex

import pytest
import yaml

from equidiff_cli.report.words import command, facts, number, outcome, pathless, query, question, setting
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


@pytest.mark.parametrize(
    ("held", "title"),
    [
        ("logit of cat", "Pictures with the same logit of cat in net as the query"),
        ("logits of cat, dog", "Pictures with the same logits of cat, dog in net as the query"),
        (
            "channel 3 of layer2, mean over space",
            "Pictures with the same channel 3 of layer2 (mean over space) in net as the query",
        ),
        ("channel 3 of fc, alone", "Pictures with the same channel 3 of fc in net as the query"),
        ("channel 1 of conv, at [2, 3]", "Pictures with the same channel 1 of conv (at [2, 3]) in net as the query"),
        ("my.package.parts.redness", "Pictures with the same redness in net as the query"),
        ("share of red", "Pictures with the same share of red in net as the query"),
    ],
)
def test_the_title_is_a_sentence_whatever_is_held(make_run, held, title):
    run = read(make_run("run", samples=1), "run")
    run.summary |= {"objective": held, "target": "net"}
    assert question(run) == title


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (
            "its weights are not at hand (/root/.cache/torch/hub/alexnet-1.pth)",
            "its weights are not at hand (alexnet-1.pth)",
        ),
        ("/data/nets/my net.pth", "my net.pth"),
        ("~/nets/a.pth, /b/c.pth", "a.pth, c.pth"),
        ("resnet18.a1_in1k", "resnet18.a1_in1k"),
        ("timm/resnet18 at 1/2 of https://hub/timm/x", "timm/resnet18 at 1/2 of https://hub/timm/x"),
    ],
)
def test_files_are_called_by_their_names(text, shown):
    assert pathless(text) == shown


def test_a_query_is_called_by_the_name_of_its_file(make_run):
    run = read(make_run("run", samples=1, query="/home/me/pictures/my dog.png"), "run")
    assert query(run) == "my dog.png" and ("Query", "my dog.png") in facts(run)
    assert read(make_run("other", samples=1, query="pets/dog.png"), "other").summary["query"] == "pets/dog.png"


def test_what_holds_on_file_is_counted(make_run):
    run = read(make_run("run", samples=3), "run")
    assert "on file" not in outcome(run)
    for record, on_file in zip(run.rows, (True, False, True), strict=True):
        record["on_file"] = on_file
    assert "2 of 3 are below the threshold on file" in outcome(run)


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


def test_of_a_run_by_rejection_it_is_said_what_was_accepted(make_run):
    method = {"_target_": "equidiff_cli.methods.rejection.Rejection", "tolerance": 0.15, "pool": 100}
    shown = dict(facts(read(make_run("run", **{f"method.{key}": value for key, value in method.items()}))))
    assert shown["Accepted"] == "the first of up to 100 unguided draws within 0.15 null spreads" and "Stop" not in shown


def test_a_chain_goes_on_from_where_it_found_the_set(make_run):
    method = {"_target_": "equidiff_cli.methods.walk.Walk", "forget": 20, "every": 2, "keep": 5}
    shown = dict(facts(read(make_run("run", **{f"method.{key}": value for key, value in method.items()}))))
    assert (
        shown["Then"] == "a chain of 30 moves; 5 states are kept, the last one is shown"
        and "loss below" in shown["Stop"]
    )
