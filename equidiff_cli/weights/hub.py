"""Where published weights are: a local path if one is given, else the hub library's cache, else the hub.

    stats = Source("prior.stats", None, "hustvl/vavae-imagenet256-f16d32-dinov2", ("latents_stats.pt",))
    (file,) = find([stats])

The cache and its variables (`HF_HOME`, `HF_HUB_CACHE`, `HF_HUB_OFFLINE`, `HF_ENDPOINT`, `HF_TOKEN`) are those of
`huggingface_hub`. Downloads go into it, but by a partial file of our own that a stopped process leaves for the next.
"""

import fcntl
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlparse

from huggingface_hub import constants, get_hf_file_metadata, hf_hub_download, hf_hub_url, try_to_load_from_cache
from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, OfflineModeIsEnabled
from huggingface_hub.file_download import http_get, repo_folder_name
from huggingface_hub.utils import build_hf_headers

from equidiff_cli.weights.read import sha256

PATIENCE = 5.0  # seconds to wait for the hub's first answer
# No network, no answer (that base class is of whichever HTTP client the library uses), an answer that is an error.
UNREACHABLE = (OSError, HfHubHTTPError.__mro__[1], OfflineModeIsEnabled)


@dataclass(frozen=True)
class Source:
    """One file of weights.

    Args:
        key: the configuration key that takes a local path.
        path: that path, or None for the published file.
        repo: "owner/name" on the hub, or None where nothing is published.
        names: what the file may be called there; the first that exists is taken.
        fetch: the arguments of `equidiff fetch` that bring it.
    """

    key: str
    path: str | None
    repo: str | None = None
    names: tuple[str, ...] = ()
    fetch: str = ""

    @property
    def title(self):
        """The repository and the file, for people."""
        return f"{self.repo}/{' or '.join(self.names)}"


@dataclass(frozen=True)
class Remote:
    """What the hub says of a file: its name, size in bytes, and hash (SHA-256, or that of git for small files)."""

    repo: str
    name: str
    size: int
    etag: str
    location: str


def cached(source):
    """The local file of a source without asking the network, or None; `ValueError` if its path is wrong."""
    if source.path is not None:
        if not Path(source.path).is_file():
            raise ValueError(f"{source.key}={source.path}: no such file; give a .safetensors, .pt or .pth file")
        return Path(source.path)
    if source.repo is None:
        raise ValueError(f"{source.key}: has no published file; {source.key}=PATH takes a local one")
    found = [try_to_load_from_cache(source.repo, name) for name in source.names]
    return next((Path(file) for file in found if isinstance(file, str)), None)


def locate(sources):
    """`Remote` for each source; `ValueError` naming all of them if the hub does not answer or does not have one."""
    try:
        return [_ask(source) for source in sources]
    except UNREACHABLE as error:
        offline = isinstance(error, OfflineModeIsEnabled) or constants.HF_HUB_OFFLINE
        reason = "HF_HUB_OFFLINE is set" if offline else f"the hub did not give it ({_line(error)})"
        missing = "; ".join(f"{source.key}: {source.title}" for source in sources)
        paths = ", ".join(f"{source.key}=PATH" for source in sources)
        fetch = " ".join(dict.fromkeys(source.fetch for source in sources))
        raise ValueError(
            f"{missing}: not in the cache {constants.HF_HUB_CACHE}, and {reason}; {paths} takes a local file,"
            f" equidiff fetch {fetch} fills the cache where there is a network"
        ) from error


def find(sources, say=lambda line: None):
    """The local file of each source, downloaded if need be; what is missing everywhere is one `ValueError`.

    Args:
        say: called with a line before every download.
    """
    files = [cached(source) for source in sources]
    missing = [i for i, file in enumerate(files) if file is None]
    for i, remote in zip(missing, locate([sources[i] for i in missing]), strict=True):
        say(f"{sources[i].key}: downloading {remote.repo}/{remote.name}, {remote.size / 1e9:.2f} GB")
        files[i] = download(remote)
    return files


def download(remote):
    """Bring one file into the cache, going on where an earlier try stopped, and check its size and hash.

    Raises `ConnectionError` if the network fails on the way; what has come so far stays.
    """
    folder = Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=remote.repo, repo_type="model") / "blobs"
    folder.mkdir(parents=True, exist_ok=True)
    blob, part = folder / remote.etag, folder / f"{remote.etag}.equidiff.part"
    with open(part, "ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # another process may be at it: wait, then take its file
        if not blob.exists():
            _receive(remote, file)
            found = _hash(part, len(remote.etag))
            if found != remote.etag:
                part.unlink()
                raise ConnectionError(
                    f"{remote.repo}/{remote.name}: arrived damaged, hash {found} instead of {remote.etag}; try again"
                )
            os.replace(part, blob)
    part.unlink(missing_ok=True)
    return Path(hf_hub_download(remote.repo, remote.name))  # the blob is there: this only names it


def check(file):
    """Whether a file of the cache has the hash it is stored under; None for a file that is not stored so."""
    blob = Path(file).resolve()
    kind = len(blob.name)
    return _hash(blob, kind) == blob.name if kind in (40, 64) and set(blob.name) <= set("0123456789abcdef") else None


def _ask(source):
    """The first name of the source that the hub has."""
    for name in source.names:
        url = hf_hub_url(source.repo, name)
        try:
            facts = get_hf_file_metadata(url, timeout=PATIENCE)
        except EntryNotFoundError:
            if name == source.names[-1]:
                raise
            continue
        if not facts.size or not facts.etag:
            raise OSError(f"{url} gives no size and hash")
        return Remote(source.repo, name, facts.size, facts.etag, facts.location)


def _receive(remote, file):
    """Append to `file` what it lacks."""
    begun = file.seek(0, os.SEEK_END)
    if begun > remote.size:
        begun = file.truncate(0)
    ours = urlparse(remote.location).netloc == urlparse(constants.ENDPOINT).netloc
    headers = build_hf_headers() if ours else build_hf_headers(token=False)  # a token is for the hub alone
    try:
        http_get(
            remote.location,
            file,
            resume_size=begun,
            headers=headers,
            expected_size=remote.size,
            displayed_filename=remote.name,
        )
    except UNREACHABLE as error:
        so_far = f"{file.seek(0, os.SEEK_END) / 1e9:.2f} of {remote.size / 1e9:.2f} GB"
        raise ConnectionError(
            f"{remote.repo}/{remote.name}: the download stopped after {so_far} ({_line(error)}); run again to go on"
        ) from error
    finally:
        file.flush()


def _hash(path, length):
    """SHA-256 (64 digits), or what git calls a file (40 digits)."""
    if length == 64:
        return sha256(path)
    data = Path(path).read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def _line(error):
    return f"{type(error).__name__}: {error}".splitlines()[0][:200]
