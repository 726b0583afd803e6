"""Explanations on members of an invariant set: attributions, concepts, units, and numbers about them."""
