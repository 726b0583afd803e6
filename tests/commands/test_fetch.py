"""`equidiff fetch` against a hub on this machine: what it brings, what it says, and its exit codes."""

import os

import pytest

REPO = "timm/test_resnet.r160_in1k"
TARGET = ("target=timm", "target.name=test_resnet")


@pytest.fixture
def fetch(process, hub, tmp_path):
    """Call `equidiff fetch` with an empty cache and the hub on this machine."""

    def call(*arguments, **env):
        env = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "cache"), "HF_HUB_OFFLINE": "0"} | env
        return process("fetch", *arguments, env=env)

    return call


def test_brings_says_and_checks(fetch, hub, tmp_path):
    hub.files = {
        "hustvl/lightningdit-xl-imagenet256-800ep/lightningdit-xl-imagenet256-800ep.pt": b"network" * 50_000,
        "hustvl/vavae-imagenet256-f16d32-dinov2/vavae-imagenet256-f16d32-dinov2.pt": b"decoder",
        "hustvl/vavae-imagenet256-f16d32-dinov2/latents_stats.pt": b"stats",
        f"{REPO}/model.safetensors": b"classifier",
    }
    done = fetch("prior=lightningdit_xl", *TARGET)
    assert done.returncode == 0, done.stderr
    files = [tmp_path / line for line in done.stdout.splitlines()]
    assert [file.read_bytes() for file in files] == [*hub.files.values()]
    assert "4 of 4 files to download" in done.stderr and done.stderr.count("size and hash checked") == 4
    assert {path.name for path in tmp_path.iterdir()} == {"cache"}, "no run directory"

    hub.asked.clear()
    again = fetch("prior=lightningdit_xl", *TARGET, HF_HUB_OFFLINE="1")
    assert again.returncode == 0 and again.stdout == done.stdout and hub.asked == []
    assert "0 of 4 files to download" in again.stderr and again.stderr.count("was there, hash checked") == 4

    with open(os.path.realpath(files[0]), "r+b") as file:
        file.write(b"X")
    damaged = fetch("prior=lightningdit_xl")
    assert damaged.returncode == 1 and damaged.stdout == ""
    assert "is damaged, its hash is another; remove it and fetch again" in damaged.stderr.splitlines()[-1]


def test_nothing_to_bring_prints_no_file(equidiff):
    done = equidiff("fetch", "prior=embedded", "target=smallresnet")
    assert done.returncode == 0 and done.stdout == "" and "come with the package" in done.stderr


def test_what_arrives_damaged_is_exit_1(fetch, hub):
    hub.files, hub.spoil = {f"{REPO}/model.safetensors": b"classifier"}, lambda content: b"X" + content[1:]
    done = fetch(*TARGET)
    assert done.returncode == 1 and done.stdout == "" and "Traceback" not in done.stderr
    assert "arrived damaged" in done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "fetch: says nothing to bring; give prior=..., target=..., or both"),
        (["prior=lightningdit"], "prior=lightningdit: use one of auto, circles, diffusers, embedded"),
        (["samples=3"], "samples: no such key; use one of prior, target"),
    ],
)
def test_wrong_requests_are_one_line(equidiff, tmp_path, arguments, message):
    told(equidiff("fetch", *arguments), message, tmp_path)


def test_weights_that_are_nowhere_are_one_line(fetch, tmp_path):
    told(fetch("target=resnet50"), "timm/resnet50.a1_in1k/model.safetensors or pytorch_model.bin: not in", tmp_path)


def told(done, message, tmp_path):
    """Whether a request was refused in one line, and nothing was left."""
    assert done.returncode == 2 and done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("equidiff: ") and message in line
    assert not (tmp_path / "outputs").exists()
