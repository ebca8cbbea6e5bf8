"""What somebody can do to bring forgotten answers back, and how much of it comes back; always beside the base model."""
