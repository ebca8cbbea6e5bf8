"""Verdicts and answers in, scores out: metrics, outcomes, tables, people's labels."""
