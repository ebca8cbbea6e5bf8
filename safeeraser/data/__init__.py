"""Data sets: reading them in, opening their pictures, and what is wrong with them."""
