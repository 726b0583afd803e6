"""equidiff fetch: bring the weights of a prior and a target into the cache, check them, say where they are."""

import logging
import sys

from huggingface_hub.utils import disable_progress_bars

from equidiff_cli.request.check import complete
from equidiff_cli.request.light import sources
from equidiff_cli.request.part import part
from equidiff_cli.weights.hub import cached, check, download, locate

log = logging.getLogger(__name__)


def prepare(config, directory, words=()):
    """Ask where every file is; `ValueError` for what exists nowhere.

    Returns a function without arguments that does the work and returns the files, for standard output.
    """
    complete(config)
    groups = [group for group in ("prior", "target") if config[group] is not None]
    if not groups:
        raise ValueError("fetch: says nothing to bring; give prior=..., target=..., or both")
    if not sys.stderr.isatty():
        disable_progress_bars()
    wanted = [source for group in groups for source in sources(part(config, group))]
    missing = [source for source in wanted if cached(source) is None]
    remotes = dict(zip(missing, locate(missing), strict=True))
    return lambda: work(wanted, remotes)


def work(sources, remotes):
    """Download what is missing, check the hash of everything; a damaged file is a `ConnectionError`."""
    total = sum(remote.size for remote in remotes.values()) / 1e9
    log.info("%d of %d files to download, %.2f GB", len(remotes), len(sources), total)
    files = []
    for source in sources:
        if remote := remotes.get(source):
            log.info("%s: downloading %s/%s, %.2f GB", source.key, remote.repo, remote.name, remote.size / 1e9)
            file, state = download(remote), "downloaded, size and hash checked"
        else:
            file, good = cached(source), check(cached(source))
            if good is False:
                raise ConnectionError(f"{file.resolve()}: is damaged, its hash is another; remove it and fetch again")
            state = "was there, hash checked" if good else "your own file, nothing to check it against"
        log.info("%s: %s (%.2f GB, %s)", source.key, file, file.stat().st_size / 1e9, state)
        files.append(file)
    if not sources:
        log.info("nothing to download: these weights come with the package or are your own")
    return files
