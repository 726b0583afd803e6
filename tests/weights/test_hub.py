"""Where weights come from: a path, the cache, a hub on this machine; stops, damage, and no network."""

import hashlib
import inspect
import time

import pytest
from huggingface_hub import constants
from huggingface_hub.errors import HfHubHTTPError

from equidiff_cli.weights import hub as hubs
from equidiff_cli.weights.hub import Source, cached, check, download, find, locate

CONTENT = bytes(range(256)) * 400
ONE = Source("prior.network", None, "owner/name", ("one.pt",), "prior=x")
TWO = Source("prior.decoder", None, "owner/name", ("two.safetensors", "two.bin"), "prior=x")


@pytest.fixture(autouse=True)
def place(hub, monkeypatch, tmp_path):
    """Point the hub library at the hub on this machine and at an empty cache."""
    endpoint(monkeypatch, hub.url)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    hub.files |= {"owner/name/one.pt": CONTENT, "owner/name/two.bin": b"two"}


def endpoint(monkeypatch, url):
    """As HF_ENDPOINT does it before the hub library is imported."""
    template = constants.HUGGINGFACE_CO_URL_TEMPLATE.replace(constants.ENDPOINT, url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "ENDPOINT", url)


def test_what_is_taken_from_inside_the_hub_library_is_as_it_was():
    """`weights/hub.py` uses what the library does not promise; where this fails, that file must be looked at."""
    _, _, *options = inspect.signature(hubs.http_get).parameters  # the first two by position
    assert {"resume_size", "headers", "expected_size", "displayed_filename"} <= set(options)
    assert hubs.repo_folder_name(repo_id="owner/name", repo_type="model") == "models--owner--name"
    assert hubs.UNREACHABLE[1].__name__ == "HTTPError" and hubs.UNREACHABLE[1] is not HfHubHTTPError


def test_a_path_comes_before_everything(tmp_path, hub):
    (tmp_path / "mine.pt").write_bytes(b"mine")
    source = Source("prior.network", str(tmp_path / "mine.pt"), "owner/name", ("one.pt",))
    assert find([source]) == [tmp_path / "mine.pt"] and hub.asked == []
    with pytest.raises(ValueError, match=r"prior.network=no.pt: no such file"):
        find([Source("prior.network", "no.pt", "owner/name", ("one.pt",))])
    with pytest.raises(ValueError, match=r"prior.network: has no published file; prior.network=PATH"):
        find([Source("prior.network", None)])


def test_downloads_once_and_takes_the_first_name_there_is(hub):
    lines = []
    one, two = find([ONE, TWO], lines.append)
    assert one.read_bytes() == CONTENT and two.read_bytes() == b"two" and two.name == "two.bin"
    assert len(lines) == 2 and lines[0].startswith("prior.network: downloading owner/name/one.pt, ")
    hub.asked.clear()
    assert find([ONE, TWO], lines.append) == [one, two]
    assert hub.asked == [] and len(lines) == 2, "the second time nobody is asked"
    assert not list(one.resolve().parent.glob("*.part"))


def test_goes_on_where_it_stopped(hub, monkeypatch):
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    blob = hashlib.sha256(CONTENT).hexdigest()
    folder = hubs.Path(constants.HF_HUB_CACHE) / "models--owner--name" / "blobs"
    folder.mkdir(parents=True)
    (folder / f"{blob}.equidiff.part").write_bytes(CONTENT[:70000])
    (file,) = find([ONE])
    assert file.read_bytes() == CONTENT
    assert [asked for asked in hub.asked if asked[0] == "GET"] == [("GET", "one.pt", "bytes=70000-")]


def test_a_cut_keeps_what_came(hub, monkeypatch):
    (remote,) = locate([ONE])
    monkeypatch.setattr(hubs, "http_get", lambda url, file, **options: broken(file))
    with pytest.raises(ConnectionError, match=r"owner/name/one.pt: the download stopped after .*run again to go on"):
        download(remote)
    (part,) = hubs.Path(constants.HF_HUB_CACHE).rglob("*.part")
    assert part.read_bytes() == CONTENT[:1000]


def broken(file):
    file.write(CONTENT[:1000])
    raise OSError("connection reset")


def test_damage_on_the_way_is_found_and_not_kept(hub):
    hub.spoil = lambda content: b"x" + content[1:]
    with pytest.raises(ConnectionError, match=r"owner/name/one.pt: arrived damaged, hash .* instead of "):
        find([ONE])
    assert cached(ONE) is None and not list(hubs.Path(constants.HF_HUB_CACHE).rglob("*.part"))
    hub.spoil = lambda content: content
    assert find([ONE])[0].read_bytes() == CONTENT


def test_check_sees_damage_in_the_cache(tmp_path):
    (file,) = find([ONE])
    assert check(file) is True
    file.resolve().write_bytes(CONTENT[:-1])
    assert check(file) is False
    (tmp_path / "mine.pt").write_bytes(b"mine")
    assert check(tmp_path / "mine.pt") is None


@pytest.mark.parametrize("how", ["refused", "offline", "unknown name", "absent"])
def test_what_is_missing_is_named_at_once(hub, monkeypatch, how):
    if how == "refused":
        endpoint(monkeypatch, "http://127.0.0.1:9")
    elif how == "offline":
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    elif how == "unknown name":
        endpoint(monkeypatch, "http://equidiff.invalid")
    else:
        hub.files.clear()
    started = time.monotonic()
    with pytest.raises(ValueError) as error:
        find([ONE, TWO])
    assert time.monotonic() - started < 30  # the library alone would take most of a minute
    text = str(error.value)
    assert "\n" not in text
    for part in (
        "prior.network: owner/name/one.pt; prior.decoder: owner/name/two.safetensors or two.bin: not in the cache",
        constants.HF_HUB_CACHE,
        "HF_HUB_OFFLINE is set" if how == "offline" else "the hub did not give it (",
        "prior.network=PATH, prior.decoder=PATH takes a local file, equidiff fetch prior=x",
    ):
        assert part in text, text
