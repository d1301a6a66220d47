"""Kafka as Driftline uses it: columnar fetch, columnar batches, security, capabilities."""
