"""Answers: what is asked, and who answers: our own engine, a server, or the worker behind "Ask your own"."""
