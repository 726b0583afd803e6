"""From what a person wrote to an output's index: names of every form, labels that may be read in two ways."""

import json

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

from equidiff_cli.target.classes import class_names, index_of, numbered, read_names

ABC = ("a", "b", "c")


@pytest.mark.parametrize(
    "classes",
    [
        ["a", "b", "c"],
        {0: "a", 1: "b", 2: "c"},
        {2: "c", 0: "a", 1: "b"},
        {"1": "b", "0": "a", "2": "c"},
        {"c": 2, "a": 0, "b": 1},
        {"a": "0", "c": "2", "b": "1"},
        dict.fromkeys(ABC).keys(),
        np.array(["a", "b", "c"]),
        OmegaConf.create(["a", "b", "c"]),
        OmegaConf.create({"c": 2, "a": 0, "b": 1}),
        [" a", "b ", "c"],
    ],
    ids=str,
)
def test_lists_and_maps_in_either_direction(classes):
    assert class_names("k", classes) == ABC


@pytest.mark.parametrize(
    ("classes", "names"),
    [
        ([10, 20, 30], ("10", "20", "30")),
        (torch.tensor([10, 20]), ("10", "20")),
        ({0: 7, 1: 3}, ("7", "3")),
        ({"7": 0, "3": 1}, ("7", "3")),
        ({"0": "0", "1": "1"}, ("0", "1")),
        ({"0": ["n01", "tench"], "1": ["n02", "shark"]}, ("n01, tench", "n02, shark")),
        (["crane", "crane"], ("crane", "crane")),
        ([], ()),
    ],
    ids=str,
)
def test_numbers_and_several_names(classes, names):
    assert class_names("k", classes) == names


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (
            {0: "a", 2: "c"},
            "k: the map has 2 classes with indices up to 2, but not 1; must be a list of names, or a map",
        ),
        ({1: "a", 2: "b"}, "k: the map has 2 classes with indices up to 2, but not 0"),
        ({"a": 0, "b": 0}, "k: the map has index 0 twice"),
        ({"a": "x", "b": "y"}, "k: the map has no index for every name"),
        ({"a": 0, "b": None}, "k: the map has no index for every name"),
        (
            {0: 1, 1: 0},
            "k: is ambiguous: both sides of the map are the indices from 0 to 1, so 0: 1 may be index: name",
        ),
        (["a", None, "c"], "k: None is no name of a class"),
        (["a", True], "k: True is no name of a class"),
        (["a", 1.5], "k: 1.5 is no name of a class"),
        (["a", ""], "k: an empty name"),
        ("abc", "k=abc: must be a list of names"),
        (3, "k=3: must be a list of names"),
        ({"a"}, "must be a list of names, or a map between names and all indices from 0 on, is a set"),
    ],
    ids=str,
)
def test_names_that_are_none(classes, message):
    with pytest.raises(ValueError) as error:
        class_names("k", classes)
    assert message in str(error.value) and "\n" not in str(error.value)


FILES = {
    "lines.txt": "a\nb\nc\n\n",
    "windows.txt": "\ufeffa\r\nb\r\nc\r\n",
    "numbered.txt": "0 a\n1 b\n2 c\n",
    "shuffled.txt": "2: c\n0: a\n1: b\n",
    "list.json": '["a", "b", "c"]',
    "by_index.json": '{"0": "a", "1": "b", "2": "c"}',
    "by_name.json": '{"c": 2, "a": 0, "b": 1}',
    "names.csv": "name\na\nb\nc\n",
    "bare.csv": "a\nb\nc\n",
    "by_index.csv": "index,name\n1,b\n0,a\n2,c\n",
    "by_name.csv": "c,2\na,0\nb,1\n",
}


@pytest.mark.parametrize("name", FILES)
def test_files(tmp_path, name):
    (tmp_path / name).write_text(FILES[name], encoding="utf-8")
    assert read_names("k", str(tmp_path / name)) == ABC


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("no.txt", None, "cannot be opened (No such file or directory); give .txt"),
        ("names.xml", "a", "must be a list of names, or a map between names and all indices from 0 on, or a file"),
        ("hole.txt", "a\n\nc", "an empty name; every class needs one"),
        ("binary.txt", b"\xff\xfe\x00", "is no text in UTF-8"),
        ("cut.json", '["a", ', "is no JSON"),
        ("twice.json", '{"0": "a", "0": "b"}', "has 0 twice"),
        ("number.json", "3", "must be a list of names"),
        ("three.csv", "a,b,c\n", "must have one column, of names, or two, of names and indices"),
        ("twice.csv", "a,0\na,1\n", "has a twice"),
    ],
)
def test_files_that_hold_no_names(tmp_path, name, content, message):
    if content is not None:
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError) as error:
        read_names("target.classes", str(tmp_path / name))
    assert str(error.value).startswith(f"target.classes={tmp_path / name}: ") and message in str(error.value)


DIGITS = ("7", "3", "0", "12")


@pytest.mark.parametrize(
    ("classes", "label", "index"),
    [
        (DIGITS, 1, 1),  # no class is called so
        (DIGITS, "7", 0),  # there is no index 7
        (DIGITS, 12, 3),
        (DIGITS, "name:3", 1),
        (DIGITS, "name:0", 2),
        (DIGITS, "index:3", 3),
        (DIGITS, "index: 0", 0),
        (("10", "20", "30"), 20, 1),
        (("10", "20", "30"), "2", 2),
        (numbered(5), 3, 3),  # both readings agree
        (("1", "0x", "2"), 2, 2),
        (("a", "index:0", "b"), "index:0", 1),  # a class is called so
        (("true", "false"), False, 1),
        (("Tench, tinca", "dog"), "tench, tinca", 0),
        (("Tench, tinca", "dog"), "name:Tinca", 0),
    ],
)
def test_a_label_means_the_one_class_that_it_can_mean(classes, label, index):
    assert index_of("k", label, classes, "net") == index


@pytest.mark.parametrize(
    ("classes", "label", "message"),
    [
        (DIGITS, 3, "k=3: is ambiguous, the index of 12 and the name of class 1; use k=index:3 or k=name:3"),
        (DIGITS, "0", "k=0: is ambiguous, the index of 7 and the name of class 2; use k=index:0 or k=name:0"),
        (("1", "0", "0"), 0, "k=0: is ambiguous, the index of 1 and the name of class 1, class 2; use"),
        (DIGITS, 4, "k=4: must be a whole number at least 0 and at most 3"),
        (DIGITS, -3, "k=-3: must be a whole number at least 0 and at most 3"),
        (DIGITS, "index:4", "must be a whole number at least 0 and at most 3"),
        (DIGITS, "index:x", "must be a whole number at least 0 and at most 3"),
        (DIGITS, "name:4", "k=name:4: net has no such class; use one of 7, 3, 0, 12"),
        (("a", "b"), "name:1", "k=name:1: net has no such class"),
        (("a", "b", "a"), "a", "k=a: the name is ambiguous, use the index of one of 0 (a); 2 (a)"),
        (("a", "b"), ["a"], "k=['a']: must be one class, by its index or its name"),
        (("a", "b"), {"a": 0}, "k={'a': 0}: must be one class, by its index or its name"),
        (numbered(1000), "cat", "k=cat: the classes of net have no names; use an index from 0 to 999"),
    ],
)
def test_a_label_that_means_none_or_several(classes, label, message):
    with pytest.raises(ValueError) as error:
        index_of("k", label, classes, "net")
    assert message in str(error.value) and "\n" not in str(error.value)


def test_a_large_list_of_names_in_json_is_read_as_it_was_written(tmp_path):
    names = [f"class {i}" for i in range(1000)]
    (tmp_path / "names.json").write_text(json.dumps({name: i for i, name in enumerate(names)}))
    assert read_names("k", str(tmp_path / "names.json")) == tuple(names)
