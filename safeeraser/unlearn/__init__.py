"""Training: what it sees, the step, the loop, and resuming it exactly."""
