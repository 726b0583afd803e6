"""Numbers for pictures, values, features and latents: pure functions on tensors, one file a family."""
