"""One scenario per file: what is run, and how its answer is laid out."""
