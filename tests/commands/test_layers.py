"""`equidiff layers`: a table on standard output, and nothing left behind."""

import re

import pytest

OWN = """
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.fc = nn.Conv1d(3, 20, 5), nn.Linear(20, 4)

    def forward(self, x):
        return self.fc(self.conv(x.flatten(2)).mean(2))
"""


def test_a_table_of_the_layers_alone(equidiff, tmp_path):
    done = equidiff("layers", "prior=embedded")
    assert done.returncode == 0, done.stderr
    head, *lines = done.stdout.splitlines()
    rows = {line.split()[0]: line for line in lines}
    assert head.split() == ["layer", "type", "calls", "output", "for", "one", "picture", "channels"]
    assert rows["layer3"].split(maxsplit=3)[1:3] == ["Sequential", "1"]
    assert rows["layer3"].endswith("first") and "  (1, 256, 3, 3)  " in rows["layer3"]
    assert len({line.index("(1, ") for line in lines}) == 1, "aligned"
    assert list(tmp_path.iterdir()) == []


def test_a_network_of_ones_own(equidiff, tmp_path):
    (tmp_path / "mine.py").write_text(OWN)
    done = equidiff("layers", "target=function", "target._target_=mine.Net", "prior=embedded")
    assert done.returncode == 0, done.stderr
    assert [line.split(maxsplit=3) for line in done.stdout.splitlines()[1:]] == [
        ["conv", "Conv1d", "1", "(1, 20, 1020)           first"],
        ["fc", "Linear", "1", "(1, 4)"],
    ]
    assert [path.name for path in tmp_path.iterdir() if path.name != "__pycache__"] == ["mine.py"]


def test_points_have_a_target_as_well(equidiff):
    done = equidiff("layers", "prior=circles", "target=circles")
    assert done.returncode == 0 and "Linear" in done.stdout, done.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["target=resnet5O"], "target=resnet5O: use one of|target=resnet5O: the nearest"),
        (["samples=3"], "samples: no such key; use one of prior, target"),
        (["target=timm"], r"target\.name: has no default"),
        (["prior=circles"], "target=smallconv: takes 3 channels, but the prior makes 2"),
    ],
)
def test_wrong_requests_are_one_line(equidiff, tmp_path, words, message):
    done = equidiff("layers", "prior=embedded", *words)
    assert done.returncode == 2 and done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert re.search(message, line), line
    assert list(tmp_path.iterdir()) == []


def test_help_and_completion_know_it(equidiff, monkeypatch):
    assert "equidiff layers [group=option]" in equidiff("layers", "--help").stdout
    assert "  layers " in equidiff("--help").stdout
    monkeypatch.setenv("COMP_LINE", "equidiff layers targ")
    monkeypatch.setenv("COMP_POINT", "20")
    assert "target=" in equidiff("-sc", "query=bash").stdout
