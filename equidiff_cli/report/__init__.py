"""Run directories -> one HTML page, or a figure of their pictures."""
