"""The demo world: its things, how they are drawn, its data set, and the training of its base model."""
