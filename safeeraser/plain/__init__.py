"""The plain world: things of real kinds asked about in plain English, and a base model made of published weights."""
