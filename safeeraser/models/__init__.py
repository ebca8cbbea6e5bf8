"""Vision-language models: loading, adapters, batches, what makes them fast, and exporting them."""
