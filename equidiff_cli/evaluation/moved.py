"""What is said instead of "Held?" of a run in which nothing was to be reached."""

from statistics import median


def moved(rows, question, unit):
    """(verdict, opening, clauses) of how far the values of the samples came.

    Args:
        rows: of the evaluation, with `objective`, the value on the saved picture.
        question: what the record of the run says of it.
        unit: (the middle of unguided samples, their null spread).
    """
    values = [row["objective"] for row in rows if row.get("objective") is not None]
    if question.get("terms") or not values:
        return "moved", "Nothing was to be reached", "what is held besides stands in the numbers"
    middle, spread = unit
    heights = [(value - middle) / spread for value in values]
    return (
        "moved",
        f"Moved by {median(heights):+.3g} null spreads from what unguided samples have",
        f"at the median of {len(heights)}, from {min(heights):+.3g} to {max(heights):+.3g}, on file",
    )
