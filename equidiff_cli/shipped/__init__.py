"""What ships with the package: weights with their model card, and a query."""

from pathlib import Path

WEIGHTS = Path(__file__).parent
QUERIES = WEIGHTS / "queries"
