"""Reading weights and fitting them: what works, and the one line that every wrong file gets."""

import hashlib
import io
import pickle
import zipfile
from collections import OrderedDict

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from equidiff_cli.prior import autoencoder
from equidiff_cli.prior.lightningdit import LightningDiT
from equidiff_cli.weights.read import ACCEPTED, load, read, sha256

STATE = {"body.weight": torch.arange(12.0).reshape(3, 4), "body.bias": torch.arange(3.0)}
LEGACY = {"_use_new_zipfile_serialization": False}


def same(found, wanted):
    return list(found) == list(wanted) and all(torch.equal(found[name], wanted[name]) for name in wanted)


def saved(content, **options):
    """The bytes that torch.save writes."""
    file = io.BytesIO()
    torch.save(content, file, **options)
    return file.getvalue()


# ---- reading


@pytest.mark.parametrize(
    "content",
    [
        STATE,
        OrderedDict(STATE),
        {"state_dict": STATE, "epoch": 3, "callbacks": {}},
        {"model": {"body.bias": torch.zeros(3)}, "ema": STATE, "opt": {"state": {}}},
        {"model": STATE, "ema": None},
        {"model": STATE, "ema": {}},
        {"state_dict": STATE, "model": {"body.bias": torch.zeros(3)}},
        {f"module.{name}": tensor for name, tensor in STATE.items()},
        {"ema": {f"module.{name}": nn.Parameter(tensor) for name, tensor in STATE.items()}},
    ],
    ids=[
        "bare",
        "ordered",
        "state_dict",
        "ema",
        "ema_none",
        "ema_empty",
        "state_dict_first",
        "module",
        "ema_module_parameter",
    ],
)
@pytest.mark.parametrize("options", [{}, LEGACY], ids=["zip", "legacy"])
def test_torch_files(tmp_path, content, options):
    path = tmp_path / "weights.pt"
    path.write_bytes(saved(content, **options))
    found = read(path, "prior.weights")
    assert same(found, STATE)
    assert all(type(tensor) is torch.Tensor and not tensor.requires_grad for tensor in found.values())


@pytest.mark.parametrize("name", ["weights.safetensors", "weights.pt", "weights"])
def test_safetensors_whatever_the_suffix(tmp_path, name):
    save_file(STATE, tmp_path / name)
    assert same(dict(sorted(read(str(tmp_path / name), "prior.weights").items())), dict(sorted(STATE.items())))


def test_a_prefix_that_only_some_names_have_stays(tmp_path):
    state = {"module.weight": torch.zeros(1), "bias": torch.zeros(1)}
    torch.save(state, tmp_path / "weights.pt")
    assert same(read(tmp_path / "weights.pt", "k"), state)


def test_an_archive_that_was_compressed_again_has_the_right_values(tmp_path):
    old = zipfile.ZipFile(io.BytesIO(saved(STATE)))
    with zipfile.ZipFile(tmp_path / "weights.pt", "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
    assert same(read(tmp_path / "weights.pt", "k"), STATE)


@pytest.mark.parametrize("write", [torch.save, save_file], ids=["zip", "safetensors"])
def test_files_are_mapped_not_read(tmp_path, write):
    path = tmp_path / "weights"
    write({"weight": torch.full((1000,), 7.0)}, path)
    found = read(path, "k")["weight"]
    with open(path, "r+b") as file:  # a change of the file shows in a tensor that no one has touched yet
        file.seek(path.read_bytes().index(torch.full((1000,), 7.0).numpy().tobytes()))
        file.write(torch.full((1000,), 8.0).numpy().tobytes())
    assert torch.equal(found, torch.full((1000,), 8.0))


# ---- wrong files


class Code:
    """Runs a command when unpickled."""

    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return eval, (self.command,)


def archive(*names):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as zipped:
        for name in names:
            zipped.writestr(name, "3")
    return file.getvalue()


def safetensors_bytes(tmp_path):
    save_file(STATE, tmp_path / "whole")
    return (tmp_path / "whole").read_bytes()


DAMAGED = "is damaged or cut off, or in a form that torch.load does not read safely "
UNSAFE = "holds more than tensors ({}) and could run code, so for safety it is not opened; if you trust it, python -c "
NEITHER = "is neither of the accepted formats, or was cut off"
PAGE = "is a web page or XML, perhaps the answer to a failed download"

WRONG = {  # what: (content, the message)
    "empty": (b"", "is empty"),
    "text": (b"hello", NEITHER),
    "zeros": (bytes(1000), NEITHER),
    "web page": (b"\n<!DOCTYPE html><html><body>404 Not Found</body></html>", PAGE),
    "xml": (b"\xef\xbb\xbf<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", PAGE),
    "pointer": (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n",
        "is a pointer of Git LFS, not the file itself: fetch it with git lfs pull",
    ),
    "zip cut": (saved(STATE)[:700], DAMAGED + "(BadZipFile: File is not a zip file)"),
    "zip cut early": (saved(STATE)[:3], NEITHER),
    "legacy cut": (saved(STATE, **LEGACY)[:-5], DAMAGED + "(RuntimeError: unexpected EOF, expected 5 more bytes"),
    "legacy cut early": (saved(STATE, **LEGACY)[:20], DAMAGED + "(EOFError)"),
    "pickle": (pickle.dumps({"a": 1}, protocol=2), DAMAGED + "(RuntimeError: Invalid magic number"),
    "new pickle": (pickle.dumps({"a": 1}, protocol=4), DAMAGED + "(UnpicklingError"),
    "module": (saved(nn.Linear(2, 2)), UNSAFE.format("torch.nn.modules.linear.Linear")),
    "other archive": (archive("photo.png"), DAMAGED + "(RuntimeError: [enforce fail"),
    "program": (  # of torch.jit
        archive("program/constants.pkl", "program/version", "program/data.pkl"),
        DAMAGED + "(RuntimeError: Cannot use ``weights_only=True`` with TorchScript archives",
    ),
    "tensor": (saved(torch.zeros(3)), "holds a Tensor"),
    "list": (saved([STATE]), "holds a list"),
    "nothing": (saved({}), "holds nothing"),
    "numbers": (saved({"a": 1, "b": torch.zeros(1), "c": "x"}), "holds other things than tensors by name: a, c"),
    "nested": (saved({"thing": STATE, "epoch": 1}), "holds other things than tensors by name: thing, epoch"),
    "optimiser": (
        saved({"state": {0: {"exp_avg": torch.zeros(1)}}, "param_groups": []}),
        "holds other things than tensors by name: state, param_groups",
    ),
    "two averages": (
        saved({"model": STATE, "ema": STATE, "swa_model": STATE}),
        "holds several averages of the weights, keep one of them: ema, swa_model",
    ),
    "many": (
        saved({f"n{i}": i for i in range(11)}),
        "holds other things than tensors by name: n0, n1, n2, n3, n4, n5, n6, n7, ... and 3 more",
    ),
    "unnamed": (saved({3: torch.zeros(1)}), "holds other things than tensors by name: 3"),
}


def refusal(path):
    """What `read` says of a file, once it is sure to be one line that names the key, the file and what is accepted."""
    with pytest.raises(ValueError) as caught:
        read(path, "prior.weights")
    message = str(caught.value)
    start, end = f"prior.weights={path}: ", f"; {ACCEPTED}"
    assert "\n" not in message and message.startswith(start) and message.endswith(end)
    return message.removeprefix(start).removesuffix(end)


@pytest.mark.filterwarnings("ignore:.*TorchScript archive", "ignore:Detected pickle protocol 4")
@pytest.mark.parametrize(("content", "message"), WRONG.values(), ids=WRONG)
def test_wrong_contents(tmp_path, content, message):
    path = tmp_path / "weights.pt"
    path.write_bytes(content)
    assert refusal(path).startswith(message)


@pytest.mark.parametrize(("size", "message"), [(-1, "incomplete metadata"), (50, "invalid header length"), (4, None)])
def test_safetensors_cut(tmp_path, size, message):
    path = tmp_path / "weights.safetensors"
    path.write_bytes(safetensors_bytes(tmp_path)[:size])
    wanted = NEITHER
    if message:
        wanted = f"is damaged or cut off (SafetensorError: Error while deserializing header: {message}"
    assert refusal(path).startswith(wanted)


@pytest.mark.parametrize("form", ["zip", "legacy", "safetensors"])
def test_cut_anywhere_it_is_refused(tmp_path, form):
    whole = safetensors_bytes(tmp_path) if form == "safetensors" else saved(STATE, **LEGACY if form == "legacy" else {})
    path = tmp_path / "weights"
    for size in range(0, len(whole), 11):
        path.write_bytes(whole[:size])
        assert refusal(path)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("form", ["zip", "legacy", "safetensors"])
def test_altered_anywhere_it_is_read_or_refused_in_one_line(tmp_path, form):
    whole = safetensors_bytes(tmp_path) if form == "safetensors" else saved(STATE, **LEGACY if form == "legacy" else {})
    path, refused = tmp_path / "weights", 0
    for i in range(0, len(whole), 2):
        path.write_bytes(whole[:i] + bytes([whole[i] ^ 0x11]) + whole[i + 1 :])
        try:
            read(path, "k")
        except ValueError as error:
            assert str(error).startswith(f"k={path}: ") and "\n" not in str(error)
            refused += 1
    assert refused > 20


def test_wrong_places(tmp_path):
    (tmp_path / "file").write_bytes(b"x")
    assert refusal(tmp_path) == "cannot be opened (Is a directory)"
    assert refusal(tmp_path / "missing.pt") == "cannot be opened (No such file or directory)"
    assert refusal(tmp_path / "file" / "missing.pt") == "cannot be opened (Not a directory)"


@pytest.mark.parametrize("write", [torch.save, lambda *args: torch.save(*args, **LEGACY)], ids=["zip", "legacy"])
def test_code_in_a_file_does_not_run(tmp_path, write):
    proof = tmp_path / "ran"
    content = {"ema": STATE, "opt": Code(f"open({str(proof)!r}, 'w')")}
    write(content, tmp_path / "weights.pt")
    assert refusal(tmp_path / "weights.pt").startswith(UNSAFE.format("eval"))
    assert not proof.exists()
    torch.load(tmp_path / "weights.pt", weights_only=False)
    assert proof.exists()  # it would have


# ---- fitting


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Linear(4, 3)
        self.norm = nn.BatchNorm1d(3)
        self.unset = nn.Dropout(0.5)


def small_state():
    state = {name: torch.rand_like(tensor.float()) for name, tensor in Small().state_dict().items()}
    return state | {"norm.num_batches_tracked": torch.tensor(7)}


def fit(state, build=Small, **options):
    return load(build, state, "prior.weights", "file.pt", **options)


def misfit(state, build=Small, **options):
    with pytest.raises(ValueError) as caught:
        fit(state, build, **options)
    message = str(caught.value)
    assert message.startswith("prior.weights=file.pt: does not fit, ") and "\n" not in message
    return message.removeprefix("prior.weights=file.pt: does not fit, ")


def test_a_fitted_module_is_frozen_and_takes_the_tensors_as_they_are():
    state = small_state()
    module = fit(state)
    assert not module.training and not module.unset.training
    assert not any(parameter.requires_grad for parameter in module.parameters())
    assert same(module.state_dict(), state)
    assert module.body.weight.data_ptr() == state["body.weight"].data_ptr()


@pytest.mark.parametrize("given", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("options", [{}, {"dtype": torch.bfloat16}], ids=["default", "bfloat16"])
def test_floating_point_is_cast_and_whole_numbers_are_not(given, options):
    state = {name: tensor.to(given) if tensor.is_floating_point() else tensor for name, tensor in small_state().items()}
    module = fit(state, **options)
    wanted = options.get("dtype", torch.float32)
    assert {tensor.dtype for tensor in module.parameters()} == {module.norm.running_mean.dtype} == {wanted}
    assert module.norm.num_batches_tracked.dtype == torch.int64 and module.norm.num_batches_tracked == 7
    assert torch.equal(module.body.weight, state["body.weight"].to(wanted))


def test_every_fault_is_named():
    state = small_state()
    del state["norm.weight"], state["body.bias"]
    state |= {"head.weight": torch.zeros(1), "body.weight": torch.zeros(4, 3), "norm.bias": torch.zeros(3).int()}
    assert misfit(state) == (
        "missing: body.bias, norm.weight; unexpected: head.weight; "
        "wrong: body.weight is (4, 3) float32 instead of (3, 4) float32, "
        "norm.bias is (3,) int32 instead of (3,) float32"
    )


def test_a_long_list_is_cut_after_eight():
    extra = {f"x{i:02}": torch.zeros(1) for i in range(12)}
    assert misfit(small_state() | extra) == "unexpected: x00, x01, x02, x03, x04, x05, x06, x07, ... and 4 more"


def test_only_given_prefixes_are_ignored():
    state = small_state() | {"loss.a": torch.zeros(1), "lossless.b": torch.zeros(1)}
    assert misfit(state) == "unexpected: loss.a, lossless.b"
    assert misfit(state, ignore=["loss."]) == "unexpected: lossless.b"
    assert len(fit(state, ignore=["loss.", "lossless."]).state_dict()) == len(state) - 2
    assert misfit({}, ignore=["body.", "norm."]).startswith("missing: body.weight")  # what the module has is needed


def transformer(depth=1):
    return LightningDiT(depth=depth, hidden_size=32, num_heads=2)


def decoder():
    return autoencoder.build(block_out_channels=(32, 32))


def names(build):
    with torch.device("meta"):
        return build().state_dict()


PUBLISHED = {"decoder.mid.block_1.conv1.weight": torch.zeros(1)}
STATISTICS = {"mean": torch.zeros(1), "std": torch.ones(1)}


@pytest.mark.parametrize(
    ("state", "build", "kind"),
    [
        (PUBLISHED, transformer, "an autoencoder with the names of VA-VAE"),
        (PUBLISHED, decoder, "an autoencoder with the names of VA-VAE"),
        (names(decoder), transformer, "an autoencoder with the names of diffusers"),
        (names(transformer), decoder, "a LightningDiT transformer"),
        (STATISTICS, transformer, "the statistics of the latents"),
    ],
)
def test_a_file_of_another_kind_is_recognised(state, build, kind):
    assert misfit(state, build).endswith(f"; the file looks like {kind}")


def test_a_file_of_the_right_kind_gets_no_hint():
    assert "looks like" not in misfit(names(transformer), lambda: transformer(depth=2))


def test_a_tensor_that_no_file_can_fill_is_an_error_of_the_module():
    class Lost(Small):
        def __init__(self):
            super().__init__()
            self.register_buffer("table", torch.zeros(2), persistent=False)

    with pytest.raises(RuntimeError, match=r"^Lost has tensors that no file can fill: table$"):
        fit(small_state(), Lost)


def test_sha256(tmp_path):
    content = bytes(range(256)) * 10000
    (tmp_path / "file").write_bytes(content)
    assert sha256(tmp_path / "file") == hashlib.sha256(content).hexdigest()
