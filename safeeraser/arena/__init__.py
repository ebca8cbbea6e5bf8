"""The arena: people ask two models about a picture, do not know which is which, and vote. Gradio, and nothing of it in
any other room.

`matches.py` knows no page: who is asked, in which order, what a vote is. `page.py` draws it, `scripts.py` is for
programs, `server.py` lets it out.
"""
