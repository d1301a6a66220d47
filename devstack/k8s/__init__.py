"""What ``k8s/`` is checked with, and the parts of it that are made from the code."""
