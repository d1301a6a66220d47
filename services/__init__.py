"""Driftline's services: each its own process, consumer group and image; none imports another."""
