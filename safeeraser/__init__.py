"""SafeEraser: unlearning in multimodal models, and the over-forgetting it causes, measured."""

__version__ = "0.1.0"
