"""What several pages draw: answers, items, charts, cases, labels."""
