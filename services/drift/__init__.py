"""Drift: ``events`` and ``predictions`` in; ``drift-counts``, ``reports`` out; exactly once on Kafka."""
