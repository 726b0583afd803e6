"""Small parts to run the loop on: a prior of a few thousand random weights, and ways to call the command."""

import hashlib
import http.server
import os
import subprocess
import sys
import threading
import time

import pytest
import torch
from helpers import command, kills, layout, runs

from equidiff_cli.prior.lightningdit import LightningDiT
from equidiff_cli.prior.prior import Prior

torch.set_num_threads(1)  # tests run side by side, and so do the commands they start
os.environ["OMP_NUM_THREADS"] = "1"


@pytest.fixture(scope="session")
def tiny_prior():
    """8 x 8 pictures from 4 x 4 latents with 4 channels; random weights that are far from zero everywhere."""
    from equidiff_cli.prior import autoencoder  # with diffusers, for the tests that need it

    torch.manual_seed(0)
    network = LightningDiT(input_size=4, in_channels=4, hidden_size=16, depth=2, num_heads=2, num_classes=3)
    decoder = autoencoder.build(
        latent_channels=4,
        block_out_channels=(8, 16),
        layers_per_block=1,
        attention_levels=(),
        sample_size=8,
        norm_num_groups=4,
    )
    for module in (network, decoder):
        module.requires_grad_(False).eval()
    statistics = torch.zeros(1, 4, 1, 1), torch.ones(1, 4, 1, 1)
    solver = dict(solver="euler", steps=4, shift=0.3)
    return Prior(network, decoder, *statistics, name="tiny", weights={}, levels=None, **solver)


@pytest.fixture
def equidiff(tmp_path):
    """Call the command in `tmp_path` as a user would, but in this process; returns exit code and both streams."""
    return lambda *arguments: command.in_process(arguments, tmp_path)


@pytest.fixture
def process(tmp_path):
    """Run the command in `tmp_path` in a process of its own; returns the completed process."""
    return lambda *arguments, **options: command.in_its_own(arguments, tmp_path, **options)


@pytest.fixture
def stopped(tmp_path):
    """Start the command in `tmp_path`, send it signal `number` when `file` is there; (exit code, both streams)."""

    def call(*arguments, file, number):
        process = subprocess.Popen(
            [sys.executable, "-m", "equidiff_cli.cli", *arguments],
            cwd=tmp_path,
            env=command.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        file, deadline = tmp_path / file, time.monotonic() + 120
        while not (file.exists() and file.stat().st_size) and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
        return process.returncode, out, err

    return call


@pytest.fixture
def stopped_once(tmp_path, monkeypatch):
    """Draw a run in one go, and again with a disk that is full when line `number` of a log is to be written, and going
    on from there; they must have left the same. Returns the directory of the first."""

    def call(number, *words):
        from equidiff_cli.commands.run import prepare
        from equidiff_cli.request.schema import composed
        from equidiff_cli.runs import state, writer

        def run(name):
            prepare(composed(*words), tmp_path / name)()

        run("alone")
        lines, append = iter(range(10**6)), writer.append

        def full(*arguments):
            if next(lines) == number:
                raise OSError("no space")
            append(*arguments)

        monkeypatch.setattr(state, "SHARE", 1e9)  # save as often as can be
        monkeypatch.setattr(writer, "append", full)
        with pytest.raises(OSError):
            run("stopped")
        run("stopped")
        assert kills.contents(tmp_path / "stopped") == kills.contents(tmp_path / "alone")
        return tmp_path / "alone"

    return call


class Hub(http.server.BaseHTTPRequestHandler):
    """What the hub answers for files of `server.files` ("owner/name/file": content); `server.cut` ends one early."""

    def do_HEAD(self):
        self.answer(body=False)

    def do_GET(self):
        self.answer(body=True)

    def answer(self, body):
        repo, _, file = self.path.strip("/").partition("/resolve/main/")
        content = self.server.files.get(f"{repo}/{file}")
        self.server.asked.append((self.command, file, self.headers.get("Range")))
        if content is None:
            self.send_response(404)
            self.send_header("X-Error-Code", "EntryNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        begin = int((self.headers.get("Range") or "bytes=0-")[len("bytes=") :].split("-")[0])
        self.send_response(206 if begin else 200)
        self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        self.send_header("X-Repo-Commit", "1" * 40)
        if begin:
            self.send_header("Content-Range", f"bytes {begin}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(content) - begin))
        self.end_headers()
        if body:
            sent = self.server.spoil(content)[begin:]
            self.wfile.write(sent[: self.server.cut])

    def log_message(self, *_):
        pass


@pytest.fixture
def hub():
    """A hub on this machine: `files`, `asked` (method, file, range), `url`; `cut`, `spoil` make it fail."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.files, server.asked, server.cut, server.spoil = {}, [], None, lambda content: content
    server.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def make_run(tmp_path):
    """Writes small run directories below `tmp_path`, see `helpers/runs.py`."""
    return runs.MakeRun(tmp_path)


@pytest.fixture
def evaluated():
    """Writes an `evaluation.json` into a run directory."""
    return runs.evaluate


@pytest.fixture(scope="session")
def published_files(tmp_path_factory):
    """Small files in the published layout, by the name of the key that takes them; not to be altered."""
    return layout.write(tmp_path_factory.mktemp("published"), **layout.SMALL)
