"""What trainings keep in the cache is kept for the tests alone."""

import pytest

from equidiff_cli.study import cache


@pytest.fixture(scope="session", autouse=True)
def home(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cache.constants, "HF_HOME", str(tmp_path_factory.mktemp("home")))
        yield
