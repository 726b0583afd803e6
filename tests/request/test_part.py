"""What is said of a user's own part that cannot be had, is called with other keys, or gives what is of no use."""

import pytest

from equidiff_cli.request.check import check
from equidiff_cli.request.method import method_of
from equidiff_cli.request.part import part
from equidiff_cli.request.schema import composed

OWN = '''
class Plain:
    """No method: it cannot be called."""

class Two:
    def __init__(self, first, second=2): ...
    def __call__(self, x): ...

class Anything:
    def __init__(self, **keys): self.keys = keys
    def __call__(self, x): ...

class NoStep:
    def __init__(self, lr): ...
    def init(self, z): ...

def nothing(): ...

def held(target, query, power): return lambda x: x

number = 3
'''
NO_STEP = "optimizer=shampoo optimizer._target_=own.NoStep"
TAKEN_OUT = "~optimizer.momentum ~optimizer.epsilon ~optimizer.noise"
WRONG = {
    "method method._target_=own.Plan": "method._target_=own.Plan: there is no Plan in own",
    "method method._target_=own.Plain": "method._target_=own.Plain: gives a Plain, which cannot be called; see docs",
    "method method._target_=own.nothing": "method._target_=own.nothing: gives a NoneType, which cannot be called",
    "method method._target_=own.number": "method._target_=own.number: Expected a callable target",
    "method method._target_=no.such": "method._target_=no.such: No module named 'no'",
    "filter filter=none filter._target_=own.Two": "filter.first: has no default, give a value (+filter.first=...)",
    "filter filter=none filter._target_=own.Two +filter.third=1": "filter.third: no such key; use one of first, second",
    "filter filter._target_=own.nothing": "filter.cutoff: no such key; this filter takes none",
    "distance distance._target_=own.nothing": "distance._target_=own.nothing: gives a NoneType, which cannot be called",
    f"optimizer {NO_STEP}": "optimizer.momentum: no such key; use one of lr",
    f"optimizer {NO_STEP} {TAKEN_OUT}": "optimizer._target_=own.NoStep: gives a NoStep, which has",
    "optimizer ~optimizer.damping": "optimizer.damping: has no default, give a value",
    "objective objective=function objective._target_=own.held": "objective.power: has no default",
    "objective objective=function objective._target_=own.held +objective.query=1": "objective.query: no such key; use"
    " one of power",
    "prior prior._target_=own.Anything": "prior._target_=own.Anything: gives a Anything, which has no medium",
}


@pytest.fixture(autouse=True)
def own(tmp_path, monkeypatch):
    (tmp_path / "own.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.parametrize("words", WRONG)
def test_what_is_wrong_with_it_is_one_line(words, caplog):
    group, *words = words.split()
    arguments = ("target", "query") if group == "objective" else ()
    with pytest.raises(ValueError) as error:
        config = composed(*words)
        method_of(config) if group == "method" else part(config, group, *arguments)
    assert str(error.value).startswith(WRONG[" ".join([group, *words])]) and "\n" not in str(error.value)
    assert not caplog.records, "one line, and no more by others"


def test_what_takes_any_key_gets_them_all():
    made = part(composed("filter=none", "filter._target_=own.Anything", "+filter.side=3"), "filter")
    assert made.keys == {"side": 3}


@pytest.mark.parametrize("value", ["null", "3", "[a.b]", "", "Plan", ".Plan", "own.", "a..b", "own.1"])
def test_what_cannot_be_the_name_of_anything(value):
    with pytest.raises(ValueError, match=r"^method\._target_=.*: must name a function or a class, as in module\.name$"):
        check(composed(f"method._target_={value}"))


def test_a_group_that_names_nothing():
    with pytest.raises(ValueError, match=r"^filter\._target_: has no default, give a value"):
        check(composed("~filter._target_"))
