"""Completion of the shell."""

import glob
import os
import re
import sys

from equidiff_cli.request.help import keys
from equidiff_cli.request.schema import configs, register

OF_RUNS = ("evaluate", "audit", "explain", "report")  # commands that take directories besides keys


def complete(arguments, commands):
    """Shell completion by Hydra, for the command that stands in the line to complete."""
    import hydra

    line = os.environ.get("COMP_LINE", "")
    words = re.match(r"\s*(\S+)\s+(\S*)", line)
    query = any(a.startswith("query=") for a in arguments)
    if query and words and (words[2] not in commands or (line.rstrip().endswith(words[2]) and not line.endswith(" "))):
        print(" ".join(name for name in commands if name.startswith(words[2])))
        return 0
    if query and words:
        shorter = words[1] + line[words.end(2) :]
        os.environ["COMP_LINE"] = shorter
        os.environ["COMP_POINT"] = str(len(shorter))
    if query and words and words[2] in OF_RUNS:
        print(" ".join(folders(line.rpartition(" ")[2], words[2])))
    register()
    sys.argv = [sys.argv[0], *arguments]
    name = words[2] if words and words[2] in commands else "run"
    hydra.main(version_base="1.3", config_path=str(configs()), config_name=name)(lambda config: None)()
    return 0


def folders(begin, command):
    """Directories whose names begin as a key of the command does, for Hydra names them only where it finds no key.

    Those that a shell would split are left out.
    """
    if not any(key.startswith(begin) for key, _, _ in keys((configs() / f"{command}.yaml").read_text())):
        return []
    return [path for path in sorted(glob.glob(f"{glob.escape(begin)}*/")) if not re.search(r"\s", path)]
