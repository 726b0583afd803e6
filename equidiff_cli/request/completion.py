"""Completion of the shell."""

import os
import re
import sys

from equidiff_cli.request.schema import configs, register


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
    register()
    sys.argv = [sys.argv[0], *arguments]
    name = words[2] if words and words[2] in commands else "run"
    hydra.main(version_base="1.3", config_path=str(configs()), config_name=name)(lambda config: None)()
    return 0
