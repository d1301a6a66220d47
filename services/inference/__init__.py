"""Inference: ``events`` in; ``predictions``, ``dead-letters`` and ``reports`` out; exactly once on Kafka."""
