"""Ground truth in two dimensions: the same loop on points of the plane, where the invariant set can be computed."""
