"""Shadow: ``events``, ``predictions``, ``labelled`` in; ``shadow-predictions``, ``reports`` out, once."""
