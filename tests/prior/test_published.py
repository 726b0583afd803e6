"""The published layout through the command, at a small size: every contract file, every start alike, wrong files."""

import json
import re
import shutil

import pytest
import torch
from helpers import layout
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from equidiff_cli.prior.published import Published, statistics
from equidiff_cli.weights import copies

QUICK = ("samples=1", "budget.steps=2", "prior.steps=2", "null_samples=2", "objective.label=3")
NAMES = ["grid.png", "latents.safetensors", "losses.csv", "query.png"]
NAMES += ["samples", "samples.jsonl", "summary.json", "unguided"]


@pytest.fixture
def options(published_files):
    """What `prior=local` gives to `Published` for the small files."""
    switches = dict(use_qknorm=False, use_swiglu=True, use_rope=True, use_rmsnorm=True, wo_shift=False)
    return dict(
        name="small",
        image_size=64,
        hub=None,
        architecture=dict(patch_size=1, mlp_ratio=4.0, learn_sigma=False, **switches, **layout.SMALL["architecture"]),
        autoencoder=layout.SMALL["autoencoder"],
        latent_multiplier=1.0,
        solver="euler",
        steps=2,
        shift=0.3,
        **{name: str(file) for name, file in published_files.items()},
    )


def built(**options):
    return Published(**options).build(torch.device("cpu"), torch.float32)


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    """An empty cache, for this process and for the command."""
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(copies.constants, "HF_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "equidiff"


def test_the_command_writes_every_file_and_starts_again_from_its_copy(process, published_files, tmp_path):
    arguments = layout.arguments(published_files, **layout.SMALL)
    for name in ("first", "second"):
        done = process("run", *QUICK, *arguments, f"hydra.run.dir={name}")
        assert done.returncode == 0, done.stderr
        assert done.stdout == f"{name}\n" and "prior=auto" not in done.stderr
    first, second = tmp_path / "first", tmp_path / "second"
    assert {".hydra", *NAMES} == {path.name for path in first.iterdir()} - {"run.log"}
    assert len(list((tmp_path / "cache" / "equidiff").iterdir())) == 2
    for name in ("latents.safetensors", "losses.csv", "samples/000.png"):
        assert (first / name).read_bytes() == (second / name).read_bytes()
    assert load_file(first / "latents.safetensors")["z"].shape == (1, 8, 4, 4)
    summaries = [json.loads((folder / "summary.json").read_text()) for folder in (first, second)]
    assert summaries[0]["weights"] == summaries[1]["weights"] and summaries[0]["prior"] == "local"
    names = {"prior/network/network.pt", "prior/decoder/decoder.pt", "prior/stats/stats.pt"}
    assert names < summaries[0]["weights"].keys()
    assert summaries[0]["configuration"]["prior._target_"].endswith("Published")


def test_loaded_is_what_the_files_hold(options, published_files, cache):
    priors = [built(**options), built(**options)]
    ema = torch.load(published_files["network"])["ema"]
    vae = torch.load(published_files["decoder"])["state_dict"]
    for prior in priors:
        assert all(torch.equal(tensor, ema[name]) for name, tensor in prior.network.state_dict().items())
        assert torch.equal(prior.decoder.post_quant_conv.weight, vae["post_quant_conv.weight"])
        attention = prior.decoder.decoder.mid_block.attentions[0].to_q.weight
        assert torch.equal(attention, vae["decoder.mid.attn_1.q.weight"][..., 0, 0])
        assert prior.mean.flatten()[0].item() == pytest.approx(0.1) and prior.std.shape == (1, 8, 1, 1)
        assert prior.weights.keys() == {"network/network.pt", "decoder/decoder.pt", "stats/stats.pt"}
    copies = list(cache.iterdir())
    assert len(copies) == 2 and not any(name.startswith("loss") for file in copies for name in load_file(file))
    assert priors[0].weights == priors[1].weights


def test_a_changed_file_is_read_anew_and_its_old_copy_goes(options, published_files, cache, tmp_path):
    content = torch.load(published_files["network"])
    torch.save(content, tmp_path / "network.pt")
    options["network"] = str(tmp_path / "network.pt")
    built(**options)
    content["ema"]["final_layer.linear.bias"] += 1.0
    torch.save(content, tmp_path / "network.pt")
    changed = built(**options)
    assert torch.equal(changed.network.final_layer.linear.bias, content["ema"]["final_layer.linear.bias"])
    assert len(list(cache.iterdir())) == 2


def test_safetensors_are_used_as_they_are(options, published_files, cache, tmp_path):
    for name, inside in (("network", "ema"), ("decoder", "state_dict")):
        state = torch.load(published_files[name])[inside]
        save_file(state, tmp_path / f"{name}.safetensors")
        options[name] = str(tmp_path / f"{name}.safetensors")
    prior = built(**options)
    assert not cache.exists() and prior.decode(torch.zeros(1, 8, 4, 4)).shape == (1, 3, 64, 64)


@pytest.mark.parametrize("left", [0, 100, 5000])
def test_a_damaged_copy_is_made_again(options, published_files, cache, caplog, left):
    whole = built(**options)
    for copy in cache.iterdir():
        content = copy.read_bytes()
        copy.unlink()  # the networks above still read it
        copy.write_bytes(content[:left])
    again = built(**options)
    assert caplog.text.count("is damaged, made again") == 2 and again.weights == whole.weights
    assert all(map(torch.equal, again.network.state_dict().values(), whole.network.state_dict().values()))
    caplog.clear()
    built(**options)
    assert not caplog.text


def test_copies_of_one_file_have_the_same_layout_wherever_it_lies(options, published_files, cache, tmp_path):
    """How tensors are aligned in memory can change what is computed with them."""
    (tmp_path / "far" / "away").mkdir(parents=True)
    there = shutil.copy(published_files["network"], tmp_path / "far" / "away" / "of another name.pt")
    for network in (options["network"], str(there)):
        built(**options | {"network": network})
    contents = {file.read_bytes() for file in cache.iterdir()}
    assert len(list(cache.iterdir())) == 3 and len(contents) == 2, "two of the network, which are alike"


@pytest.mark.parametrize(
    "error", [SafetensorError("No space left on device"), RuntimeError("Some tensors share memory")]
)
def test_what_cannot_be_copied_is_said_and_no_hindrance(options, cache, caplog, monkeypatch, error):
    def fails(state, path, metadata):
        path.write_bytes(b"half")
        raise error

    monkeypatch.setattr(copies, "save_file", fails)
    assert built(**options).name == "small"
    assert caplog.text.count(f"no copy for the next start ({error})") == 2 and not list(cache.iterdir())


def test_a_cache_that_cannot_be_written_is_said_and_no_hindrance(options, cache, caplog):
    cache.parent.mkdir(parents=True)
    cache.write_text("in the way")
    assert built(**options).name == "small"
    assert "no copy for the next start" in caplog.text


def test_statistics(options, tmp_path):
    mean, std = statistics(channels=4)
    assert mean.abs().sum() == 0 and (std == 1).all()
    assert built(**options | {"stats": "none"}).std.eq(1).all()
    assert built(**options | {"latent_multiplier": 3.0}).std.flatten()[0].item() == pytest.approx(0.5)
    wrong = {
        "missing: std; unexpected: sd": {"mean": torch.zeros(4), "sd": torch.ones(4)},
        r"std is \(5,\); must be 4 finite": {"mean": torch.zeros(4), "std": torch.ones(5)},
        "mean is .* must be 4 finite": {"mean": torch.full((4,), torch.nan), "std": torch.ones(4)},
        "std must be above 0": {"mean": torch.zeros(4), "std": torch.zeros(4)},
    }
    for message, state in wrong.items():
        torch.save(state, tmp_path / "stats.pt")
        with pytest.raises(ValueError, match=message):
            statistics(tmp_path / "stats.pt", channels=4)


class Code:
    def __reduce__(self):
        return eval, ("open('ran', 'w')",)


def altered(state, change):
    state = dict(state)
    change(state)
    return {"ema": state}


WRONG = {  # what: (how the file is made from the published one, what is said of prior.network)
    "truncated": (lambda files: files["network"].read_bytes()[:-1000], "is damaged or cut off"),
    "a key missing": (
        lambda files: altered(ema(files), lambda s: s.pop("blocks.1.attn.qkv.bias")),
        "missing: blocks.1.attn.qkv.bias$",
    ),
    "a key too many": (
        lambda files: altered(ema(files), lambda s: s.update(surplus=torch.zeros(1))),
        "unexpected: surplus$",
    ),
    "a wrong shape": (
        lambda files: altered(ema(files), lambda s: s.update({"x_embedder.proj.bias": torch.zeros(33)})),
        r"wrong: x_embedder.proj.bias is \(33,\) float32 instead of \(32,\) float32$",
    ),
    "another model": (
        lambda files: files["decoder"].read_bytes(),
        "looks like an autoencoder with the names of VA-VAE",
    ),
    "code": (lambda files: {"ema": Code()}, "holds more than tensors .* could run code"),
    "a web page": (lambda files: b"<!DOCTYPE html><title>Not Found</title>", "is a web page or XML"),
}


def ema(files):
    return torch.load(files["network"])["ema"]


@pytest.mark.parametrize("what", WRONG)
def test_wrong_files_exit_2_with_their_own_line(equidiff, published_files, tmp_path, what):
    make, expected = WRONG[what]
    content = make(published_files)
    if isinstance(content, bytes):
        (tmp_path / "wrong.pt").write_bytes(content)
    else:
        torch.save(content, tmp_path / "wrong.pt")
    files = published_files | {"network": tmp_path / "wrong.pt"}
    done = equidiff("run", *QUICK, *layout.arguments(files, **layout.SMALL))
    assert done.returncode == 2 and done.stdout == "", done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"equidiff: prior.network={tmp_path / 'wrong.pt'}: "), line
    assert re.search(expected, line), line
    assert {path.name for path in tmp_path.iterdir()} <= {"wrong.pt"}, "no copy, no directory, and nothing ran"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": 0}, "prior.steps=0: must be"),
        ({"solver": "rk45"}, "prior.solver=rk45: use one of euler, heun"),
        ({"image_size": 32}, "prior.image_size=32: use one of 64"),
        ({"latent_multiplier": 0}, "prior.latent_multiplier=0: must be a number above 0"),
        ({"network": "no.pt"}, "prior.network=no.pt: no such file"),
        ({"network": None}, "prior.network: has no published file; prior.network=PATH takes a local one"),
        ({"architecture.hidden_size": 30}, "prior.architecture.hidden_size=30: must be a multiple of 4 num_heads=2"),
        ({"architecture.use_rope": "yes"}, "prior.architecture.use_rope=yes: must be true or false"),
        ({"autoencoder.latent_channels": 4}, "latent_channels=4: must be prior.architecture.in_channels=8"),
        ({"autoencoder.block_out_channels": [9]}, "block_out_channels=9: must be a multiple of norm_num_groups=4"),
        ({"autoencoder.block_out_channels": []}, r"block_out_channels=\[\]: must be a list"),
        ({"autoencoder.attention_levels": ["4"]}, "attention_levels=4: must be a whole number at least 0"),
        ({"autoencoder.layers_per_block": 1.5}, "layers_per_block=1.5: must be a whole number at least 1"),
    ],
)
def test_wrong_options_are_found_before_any_file_is_read(options, monkeypatch, change, message):
    monkeypatch.setattr(copies, "read", None)
    for key, value in change.items():
        group, _, name = key.rpartition(".")
        if group:
            options[group] = options[group] | {name: value}
        else:
            options[key] = value
    with pytest.raises(ValueError, match=message):
        built(**options)


@pytest.mark.parametrize(
    ("group", "option", "message"),
    [
        ("autoencoder", {"attention_levels": [5]}, r"prior.decoder=.*: does not fit, unexpected: .*\.attentions\."),
        ("autoencoder", {"layers_per_block": 2}, r"prior.decoder=.*: does not fit, missing: .*\.resnets\.1\."),
        ("architecture", {"depth": 3}, r"prior.network=.*: does not fit, missing: blocks\.2\."),
        ("architecture", {"use_qknorm": True}, r"prior.network=.*: does not fit, missing: .*\.q_norm\.weight"),
    ],
    ids=str,
)
def test_options_that_the_files_do_not_fit_are_told_by_strict_loading(options, group, option, message):
    with pytest.raises(ValueError, match=message):
        built(**options | {group: options[group] | option})


def test_missing_weights_are_one_line_in_seconds(process, equidiff, tmp_path):
    done = process("run", "prior=lightningdit_xl", "query=cat")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    for name in ("lightningdit-xl-imagenet256-800ep.pt", "vavae-imagenet256-f16d32-dinov2.pt", "latents_stats.pt"):
        assert name in line
    for word in ("prior.network=PATH", "prior.decoder=PATH", "prior.stats=PATH", "HF_HUB_OFFLINE", str(tmp_path)):
        assert word in line
    assert "64ep/lightningdit-xl-imagenet256-64ep.pt" in equidiff("run", "prior=lightningdit_xl_64ep").stderr
