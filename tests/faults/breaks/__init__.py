"""What each fault does, in order, and what it heals before it returns; the catalogue names them."""
