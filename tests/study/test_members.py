"""Run directories in every state: finished, going, altered, damaged, not runs at all."""

import hashlib
import json

import pytest
import torch
from PIL import Image

from equidiff_cli.pictures.convert import to_image
from equidiff_cli.pictures.medium import Pictures
from equidiff_cli.runs.names import FORMAT
from equidiff_cli.runs.writer import RunDir
from equidiff_cli.study.members import read
from equidiff_cli.weights.read import sha256

CONFIG = "prior: {_target_: mine.prior}\ntarget: {}\nobjective: {}\nfilter: {}\nprecision: fp32\nsamples: 4\nbatch: 2\n"


def write(path, samples=3, finished=True, hashes=True, statuses=None, medium="pictures"):
    """A run of three samples as `equidiff run` leaves it."""
    run = RunDir(path, Pictures())
    query = torch.rand(3, 8, 8, generator=torch.Generator().manual_seed(9))
    run.open(
        {
            "query (SHA-256 of its pixels)": hashlib.sha256(to_image(query).tobytes()).hexdigest(),
            "weights (SHA-256)": {},
        }
    )
    (path / ".hydra").mkdir()
    (path / ".hydra" / "config.yaml").write_text(CONFIG)
    run.save_query(query)
    for i in reversed(range(samples)):
        generator = torch.Generator().manual_seed(i)
        z = torch.randn(2, 1, 2, 2, generator=generator)
        _, file = run.save_picture(i, torch.rand(3, 8, 8, generator=generator), *z)
        status = (statuses or ["converged"] * samples)[i]
        record = {"index": i, "file": file, "status": status, "nfe": 10}
        run.save_record(record | ({"sha256": sha256(path / file)} if hashes else {}))
    if finished:
        run.close(
            {
                "configuration": json.loads((run.state / "configuration.json").read_text()),
                "format": FORMAT,
                "weights": {"a": "b"},
                "medium": medium,
            }
        )
    run.lock.close()
    return path


def test_samples_that_repelled_each_other_are_not_independent(tmp_path):
    path = write(tmp_path / "run")
    (path / ".hydra" / "config.yaml").write_text(CONFIG + "diverse: true\n")
    assert read(path).warnings == [
        "samples of a batch repelled each other: they are not independent, as intervals and tests take them for"
    ]


def test_a_finished_run(tmp_path):
    run = read(write(tmp_path / "run"))
    assert run.complete and not run.warnings and not run.missing and run.weights == {"a": "b"}
    assert [record["index"] for record in run.records] == [0, 1, 2] and run.evaluations == 30
    for i in range(3):
        with Image.open(tmp_path / "run" / "samples" / f"00{i}.png") as image:
            assert torch.equal(run.pictures[i], torch.tensor(list(image.tobytes())).view(8, 8, 3).movedim(2, 0) / 255)
        z = torch.randn(2, 1, 2, 2, generator=torch.Generator().manual_seed(i))
        assert torch.equal(run.latents["z_start"][i], z[0]) and torch.equal(run.latents["z"][i], z[1])


def test_a_run_still_going_is_evaluated_as_far_as_it_is(tmp_path):
    run = read(write(tmp_path / "run", finished=False))
    assert not run.complete and "first 3 of 4 samples" in run.warnings[0]
    assert torch.equal(run.latents["z"][2], torch.randn(2, 1, 2, 2, generator=torch.Generator().manual_seed(2))[1])


def test_deleted_and_replaced_pictures_are_named_and_left_out(tmp_path):
    path = write(tmp_path / "run")
    (path / "samples" / "000.png").unlink()
    (path / "samples" / "001.png").write_bytes((path / "samples" / "002.png").read_bytes())
    run = read(path)
    assert run.missing == [
        {"file": "samples/000.png", "why": "deleted"},
        {"file": "samples/001.png", "why": "replaced"},
    ]
    assert [record["index"] for record in run.records] == [2] and len(run.pictures) == 1
    z = torch.randn(2, 1, 2, 2, generator=torch.Generator().manual_seed(2))
    assert torch.equal(run.latents["z"], z[1:2]), "latents follow their pictures"
    assert "samples/000.png (deleted), samples/001.png (replaced)" in run.warnings[0]


@pytest.mark.parametrize("content", [b"not a picture", b""])
def test_a_picture_that_cannot_be_read_counts_as_replaced(tmp_path, content):
    path = write(tmp_path / "run", hashes=False)
    (path / "samples" / "001.png").write_bytes(content)
    assert read(path).missing == [{"file": "samples/001.png", "why": "replaced"}]


def test_samples_that_were_not_finite_are_counted_but_not_shown(tmp_path):
    run = read(write(tmp_path / "run", statuses=["converged", "nonfinite", "budget"]))
    assert run.nonfinite == 1 and [record["index"] for record in run.records] == [0, 2] and run.evaluations == 30
    assert torch.equal(run.latents["z"][1], torch.randn(2, 1, 2, 2, generator=torch.Generator().manual_seed(2))[1])


@pytest.mark.parametrize("content", [None, b"damaged"])
def test_without_latents_the_rest_goes_on(tmp_path, content):
    path = write(tmp_path / "run")
    (path / "latents.safetensors").unlink()
    if content:
        (path / "latents.safetensors").write_bytes(content)
    run = read(path)
    assert run.latents is None and "latents.safetensors" in run.warnings[0]


def test_another_query_is_refused(tmp_path):
    path = write(tmp_path / "run")
    Image.new("RGB", (8, 8)).save(path / "query.png")
    with pytest.raises(ValueError, match=r"query\.png was replaced"):
        read(path)
    (path / "query.png").unlink()
    with pytest.raises(ValueError, match=r"query\.png is missing"):
        read(path)


def test_a_run_without_pictures_is_refused(tmp_path):
    path = write(tmp_path / "run")
    for file in (path / "samples").iterdir():
        file.unlink()
    with pytest.raises(ValueError, match="no finished sample to evaluate: 3 pictures are deleted"):
        read(path)
    with pytest.raises(ValueError, match="no finished sample"):
        read(write(tmp_path / "begun", samples=0, finished=False))


@pytest.mark.parametrize(("file", "content"), [("summary.json", "{"), ("samples.jsonl", '{"index": 0\n')])
def test_damaged_records_are_refused_by_name(tmp_path, file, content):
    path = write(tmp_path / "run")
    (path / file).write_text(content)
    with pytest.raises(ValueError, match=rf"run: {file} is damaged"):
        read(path)


def test_a_configuration_of_something_else_is_refused(tmp_path):
    path = write(tmp_path / "run")
    (path / ".hydra" / "config.yaml").write_text("lr: 0.1\n")
    with pytest.raises(ValueError, match="has no prior"):
        read(path)


def test_names_with_anything_in_them(tmp_path):
    path = write(tmp_path / 'a=b <script>\'"x" ${oc.env:HOME}')
    assert read(path).complete


def test_points_are_no_pictures(tmp_path):
    path = write(tmp_path / "run", medium="points")
    with pytest.raises(ValueError, match="run: its samples are points; only pictures can be evaluated"):
        read(path)


def test_a_damaged_configuration_is_refused(tmp_path):
    path = write(tmp_path / "run")
    (path / ".hydra" / "config.yaml").write_text("prior: {")
    with pytest.raises(ValueError, match=r"config\.yaml is damaged"):
        read(path)


def test_without_a_configuration_nothing_can_be_rebuilt(tmp_path):
    path = write(tmp_path / "run")
    (path / ".hydra" / "config.yaml").unlink()
    with pytest.raises(ValueError, match=r"run: has no \.hydra/config\.yaml"):
        read(path)


def test_a_run_of_another_version_is_refused_in_one_line(tmp_path):
    path = write(tmp_path / "run")
    summary = json.loads((path / "summary.json").read_text())
    for other in (summary | {"format": 0}, {key: value for key, value in summary.items() if key != "format"}):
        (path / "summary.json").write_text(json.dumps(other))
        with pytest.raises(ValueError, match="run: was made by another version"):
            read(path)
