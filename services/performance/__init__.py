"""Performance: predictions and what became known of them in, figures out, exactly once on Kafka.

Reads ``predictions``, ``shadow-predictions``, ``labels``, ``outcomes``; writes ``labelled``, ``reports``.
"""
