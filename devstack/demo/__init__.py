"""``make demo``: the flights of 2013, scored live by a real model on a Kafka-compatible broker."""
