"""How well drift is detected: false alarms and delays, beside others and a CUSUM that knows the answer."""
