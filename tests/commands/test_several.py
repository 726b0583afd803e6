"""Several runs one after another: what goes wrong with one, and what is said of all."""

import errno

import pytest

from equidiff_cli.commands.several import Several
from equidiff_cli.errors import Failed
from equidiff_cli.request.schema import composed, composing


def test_each_is_done_and_all_that_went_wrong_is_counted(make_run, tmp_path):
    paths = [make_run(name) for name in ("full", "good", "wrong", "broken")]
    with composing():
        config = composed("device=cpu", command="explain")
    runs = Several([str(path) for path in (*paths, tmp_path / "none")], config, "explained")

    def made(path):
        match path.name:
            case "full":
                raise OSError(errno.ENOSPC, "No space left on device", "x.json")
            case "wrong":
                raise ValueError(f"{path.name}: why")
            case "broken":
                raise KeyError("key")
        return 3

    assert list(runs.each(made)) == [(paths[1], 3)] and runs.finished == [paths[1]]
    with pytest.raises(Failed) as error:
        runs.end()
    said = str(error.value)
    assert said.startswith("4 of 5 were not explained: ")
    assert "full: x.json No space left on device; " in said and "broken: KeyError: 'key'; " in said
    assert "none: no such directory; " in said and said.endswith("; wrong: why")
