"""The command line over everything: models, topics, events, predictions, dead letters, doctor."""
