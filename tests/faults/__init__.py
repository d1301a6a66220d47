"""The fault suite: real services on real Kafka, broken on purpose by a schedule that a seed decides."""
