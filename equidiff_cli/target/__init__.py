"""The network under study; what a network of one's own is made with stands here."""

from equidiff_cli.target.adopt import adopt
from equidiff_cli.target.target import Target, top_class

__all__ = ["Target", "adopt", "top_class"]
