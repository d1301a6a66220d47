"""What Driftline costs: CPU per event, latency and memory, beside a floor and its peers in one run."""
