"""All attributes of an audit, in their order."""

from equidiff_cli.audit.attributes.colour import COLOUR
from equidiff_cli.audit.attributes.layout import LAYOUT
from equidiff_cli.audit.attributes.networks import of_classes, of_directions
from equidiff_cli.audit.attributes.own import own
from equidiff_cli.audit.attributes.texture import TEXTURE


def attributes(case, network_of):
    """The `Attribute`s of a case, each name once; `ValueError` for one of the user's own that cannot be had."""
    found = [*COLOUR, *TEXTURE, *LAYOUT]
    for network in case.networks[1:]:
        found += of_classes(case, network) if network.classes else []
    if len(case.networks) > 1:
        found += of_directions(case, case.networks[-1])
    for word in case.options.attribute:
        found += own(case, word, network_of)
    return list({one.name: one for one in found}.values())
