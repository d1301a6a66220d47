"""Alerting: ``reports`` in; ``alerts``, webhooks and metrics out; at least once, under the same ids."""
