"""Alerting without Kafka: rules, the state of alerts, muting, and how notifications are written and sent."""
