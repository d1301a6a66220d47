"""Real parts for development and tests: Apache Kafka, an embedded broker and Redis, on loopback only."""
