"""What is computed once, and again only if the facts differ or the file is damaged."""

import pytest
import torch

from equidiff_cli.study import cache


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(cache.constants, "HF_HOME", str(tmp_path / "home"))
    return tmp_path / "home" / "equidiff"


def make():
    return {"x": torch.arange(6).view(2, 3).T}


def test_the_second_time_nothing_is_computed(folder):
    first = cache.cached("thing", {"a": 1, "b": [2]}, make)
    assert torch.equal(cache.cached("thing", {"b": [2], "a": 1}, pytest.fail)["x"], first["x"])
    assert [file.name.split("-")[0] for file in folder.iterdir()] == ["thing"]


def test_other_facts_are_computed_anew():
    cache.cached("thing", {"a": 1}, make)
    assert cache.cached("thing", {"a": 2}, lambda: {"x": torch.ones(1)})["x"].item() == 1


def test_a_damaged_file_is_replaced(folder):
    cache.cached("thing", {"a": 1}, make)
    (file,) = folder.iterdir()
    file.write_bytes(b"damaged")
    assert torch.equal(cache.cached("thing", {"a": 1}, make)["x"], make()["x"])
    assert torch.equal(cache.cached("thing", {"a": 1}, pytest.fail)["x"], make()["x"])


def test_where_nothing_can_be_kept_it_still_works(tmp_path):
    (tmp_path / "home").write_text("a file where the folder would be")
    assert torch.equal(cache.cached("thing", {"a": 1}, make)["x"], make()["x"])
