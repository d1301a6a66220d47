"""Quality of a version from sums that merge: figures, their intervals, and estimates before labels."""
