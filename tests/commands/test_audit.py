"""equidiff audit on real runs: its numbers from the PNGs, its page and table, what is done once, wrong requests."""

import csv
import json
import re
import shutil

import numpy as np
import pytest
import torch
from helpers.command import in_process
from PIL import Image

from equidiff_cli.commands.audit import content
from equidiff_cli.prior.embedded import Embedded
from equidiff_cli.study import cache
from equidiff_cli.target.small import embedded

NULL, MEMBERS = 24, 16
QUICK = ("device=cpu", f"null_samples={NULL}", "permutations=199", "typical=0")


@pytest.fixture(scope="module", autouse=True)
def home(tmp_path_factory):
    """A cache of our own."""
    before = cache.constants.HF_HOME
    cache.constants.HF_HOME = str(tmp_path_factory.mktemp("home"))
    yield cache.constants.HF_HOME
    cache.constants.HF_HOME = before


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with the run `run`, whose threshold every sample meets, and an audit of it."""
    folder = tmp_path_factory.mktemp("audit")
    options = (f"samples={MEMBERS}", "batch=16", "budget.steps=1", "budget.threshold=1e6", "prior.steps=3")
    done = in_process(["run", *options, "null_samples=4", "hydra.run.dir=run", "device=cpu"], folder)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def audited(folder):
    """(what the command said, audit.json)."""
    done = in_process(["audit", "run", *QUICK], folder)
    assert done.returncode == 0, done.stderr
    return done, json.loads((folder / "run" / "audit.json").read_text(), parse_constant=pytest.fail)


def lightness(pictures):
    """CIE 1976 L* of the luminance, by its definition, of (N, H, W, 3) in [0, 1]."""
    linear = np.where(pictures <= 0.04045, pictures / 12.92, ((pictures + 0.055) / 1.055) ** 2.4)
    y = linear @ np.array([0.2126729, 0.7151522, 0.0721750])
    return (116 * np.cbrt(y) - 16).mean((1, 2))  # nothing here is so dark that the line counts


def test_spread_and_shift_are_those_of_the_pngs(folder, audited):
    files = sorted((folder / "run" / "samples").glob("*.png"))
    mine = lightness(np.stack([np.asarray(Image.open(file)) for file in files]) / 255)
    prior = Embedded(image_size=32, solver="euler", steps=3, shift=1.0).build(torch.device("cpu"), torch.float32)
    null = ((prior.unguided(NULL, 16) * 255).round() / 255).permute(0, 2, 3, 1).double().numpy()
    chance = lightness(null)
    row = next(row for row in audited[1]["attributes"] if row["name"] == "lightness")
    assert row["ratio"] == pytest.approx(mine.std(ddof=1) / chance.std(ddof=1), rel=5e-3)
    assert row["shift"] == pytest.approx((mine.mean() - chance.mean()) / chance.std(ddof=1), abs=5e-3)
    assert row["members"][0][0] == f"samples/{mine.argmin():03d}.png"
    assert row["unguided"][1][-1] == chance.argmax()
    assert row["ratio_interval"][0] < row["ratio"] < row["ratio_interval"][1]


def test_other_networks_are_asked(folder, audited):
    found = audited[1]
    rows = {row["name"]: row for row in found["attributes"]}
    files = sorted((folder / "run" / "samples").glob("*.png"))
    x = torch.stack([torch.from_numpy(np.array(Image.open(file))).permute(2, 0, 1) / 255 for file in files])
    with torch.no_grad():
        odds = torch.logit(embedded("smallresnet")(x).softmax(1)[:, 3].double())
        mine = embedded("smallconv")(x).argmax(1) == 3
    assert rows["smallresnet_cat"]["mean"] == pytest.approx(odds.mean().item(), rel=1e-3)
    assert found["disagreement"]["class"] == "cat" and "smallconv_cat" not in rows
    assert found["disagreement"]["share"] == pytest.approx((mine & (odds < 0)).double().mean().item(), abs=0.07)
    assert found["members"] == MEMBERS and found["target"] == "smallconv"


def test_unguided_samples_held_against_unguided_samples_give_nothing(audited):
    """The run stopped at its first evaluation, so that its samples are unguided ones of other noise."""
    assert not [row["name"] for row in audited[1]["attributes"] if row["standing"] in ("held", "moved")]
    assert "At nothing" in audited[1]["findings"][0]["answer"]


def test_the_page_says_it_and_loads_nothing(folder, audited):
    assert audited[0].stdout == "run/audit.html\n"
    page = (folder / "run" / "audit.html").read_text()
    assert "<h1>What smallconv looks at</h1>" in page and "At nothing" in page
    assert not re.search(r'(src|href)="(?!data:|#)', page)
    assert page.count("data:image/png") > 40 and "sharpness" in page


def test_what_is_done_is_not_done_again(folder, audited):
    before = (folder / "run" / "audit.json").stat().st_mtime_ns
    assert in_process(["audit", "run", *QUICK], folder).returncode == 0
    assert (folder / "run" / "audit.json").stat().st_mtime_ns == before
    assert in_process(["audit", "run", *QUICK, "seed=1", "heldout=[]"], folder).returncode == 0
    changed = json.loads((folder / "run" / "audit.json").read_text())
    assert changed["made_of"] != audited[1]["made_of"] and "reason" in changed["disagreement"]


def test_several_runs_give_one_answer_and_a_table(folder, audited):
    shutil.copytree(folder / "run", folder / "other", ignore=shutil.ignore_patterns("audit*"))
    (folder / "out").mkdir(exist_ok=True)
    done = in_process(["audit", "run", "other", "nothing", *QUICK, "heldout=[]", "output=out"], folder)
    assert done.returncode == 2 and "1 of 3 were not audited: nothing: no such directory" in done.stderr
    rows = list(csv.DictReader((folder / "out" / "audit.csv").open()))
    count = len(json.loads((folder / "other" / "audit.json").read_text())["attributes"])
    assert [row["run"] for row in rows] == ["run"] * count + ["other"] * count
    assert [int(row["rank"]) for row in rows[:count]] == list(range(1, count + 1))
    page = (folder / "out" / "audit.html").read_text()
    assert "No attribute is held or moved in more than half of the 2 queries." in page


def test_own_attributes_and_real_pictures(folder):
    """A function, labels of real pictures that a network's features hold, and what real pictures are good for."""
    (folder / "mine.py").write_text("def redness(x):\n    return x[:, 0].mean((1, 2))\n")
    rng, rows = np.random.default_rng(0), ["file,bright"]
    for i in range(30):
        (folder / "real" / ("cat", "ship")[i % 2]).mkdir(parents=True, exist_ok=True)
        level = rng.uniform(0.2, 0.8)
        picture = np.clip(level + 0.1 * rng.standard_normal((32, 32, 3)), 0, 1)
        Image.fromarray((255 * picture).astype(np.uint8)).save(folder / "real" / ("cat", "ship")[i % 2] / f"{i}.png")
        rows.append(f"{i}.png,{level:.4f}")
    (folder / "labels.csv").write_text("\n".join(rows))
    own = ("real=real", "attribute=[mine.redness,labels.csv,smallresnet]", "group=mine.redness", "heldout=smallresnet")
    done = in_process(["audit", "run", *QUICK, *own], folder)
    assert done.returncode == 0, done.stderr
    found = json.loads((folder / "run" / "audit.json").read_text())
    rows = {row["name"]: row for row in found["attributes"]}
    files = sorted((folder / "run" / "samples").glob("*.png"))
    red = np.array([np.asarray(Image.open(file))[..., 0].mean() / 255 for file in files])
    assert rows["mine.redness"]["mean"] == pytest.approx(red.mean(), rel=1e-4)
    assert re.search(rf"{NULL} labels, cross-validated R2 0\.[5-9]", rows["bright"]["source"])
    split = found["groups"]["split"]
    assert found["groups"]["share"] == pytest.approx((red > split).mean())
    kinds = {row["kind"]: row for row in found["detector"]["rows"]}
    assert set(kinds) == {"members", "unguided", "decoded"} and kinds["members"]["area"] > 0.9, "noise is told"
    parts = found["generalisation"]["accuracy"].values()
    assert sum(part["count"] for part in parts if part) == NULL, "as many real pictures as unguided ones are taken"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["permutations=5"], "permutations=5: must be a whole number at least 99"),
        (["null_samples=2"], "null_samples=2: must be a whole number at least 16"),
        (["attribute=[smallrestnet]"], "attribute=smallrestnet: must be module.function, a .csv file or a target"),
        (["attribute=[none.csv]"], "attribute=none.csv: there is no such file"),
        (["attribute=[nothing.here]"], "attribute=nothing.here: cannot be had"),
        (["group=beauty"], "group=beauty: no such attribute; use one of lightness"),
        (["real=nowhere"], "real=nowhere: there is no such folder"),
        (["output=nowhere"], "output=nowhere: there is no such folder"),
        (["heldout=resnet"], "heldout=resnet: use one of"),
        (["nonsense=1"], "nonsense"),
    ],
)
def test_wrong_requests_are_one_line(folder, words, said):
    done = in_process(["audit", "run", *QUICK, "heldout=[]", "again=true", *words], folder)
    assert done.returncode == 2, done.stderr
    assert said in done.stderr.splitlines()[-1] and "Traceback" not in done.stderr


def test_too_few_members_are_said(folder):
    shutil.copytree(folder / "run", folder / "few", ignore=shutil.ignore_patterns("audit*"))
    records = (folder / "few" / "samples.jsonl").read_text().replace('"converged"', '"budget"', MEMBERS - 3)
    (folder / "few" / "samples.jsonl").write_text(records)
    done = in_process(["audit", "few", *QUICK, "heldout=[]"], folder)
    assert done.returncode == 2 and "few: 3 of 16 samples converged; an audit needs at least 8" in done.stderr


def test_members_that_are_like_the_query_by_their_making_are_not_audited(folder):
    shutil.copytree(folder / "run", folder / "close", ignore=shutil.ignore_patterns("audit*"))
    config = folder / "close" / ".hydra" / "config.yaml"
    config.write_text(config.read_text().replace("near: null", "near: 0.3"))
    done = in_process(["audit", "close", *QUICK, "heldout=[]"], folder)
    assert done.returncode == 2 and "close: samples begin near the query: what sets them off from" in done.stderr
    records = folder / "close" / "samples.jsonl"
    records.write_text(re.sub(r'"latent_norm": [^,]+', '"latent_norm": null', records.read_text()))
    done = in_process(["audit", "close", *QUICK, "heldout=[]"], folder)
    assert done.returncode == 2 and "close: its method draws from no prior: what sets" in done.stderr


def test_what_an_option_names_counts_with_what_is_in_it(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    labels, own, pictures = tmp_path / "labels.csv", tmp_path / "ownattribute.py", tmp_path / "real"
    pictures.mkdir()
    for word, change in (
        (str(labels), lambda text: labels.write_text(text)),
        ("ownattribute.redness", lambda text: own.write_text(text)),
        (str(pictures), lambda text: (pictures / f"{len(text)}.png").write_text(text)),
    ):
        change("a")
        before = content(word)
        assert before and content(word) == before
        change("bb")
        assert content(word) != before
    assert content("smallresnet") is None
