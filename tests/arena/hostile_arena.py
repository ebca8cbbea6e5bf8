"""Starts an arena whose models attack who reads them: `python tests/arena/hostile_arena.py --port PORT`."""

import argparse
import os
from collections.abc import Iterator
from typing import Any

from safeeraser.arena import server
from safeeraser.arena.matches import Arena
from safeeraser.generate.ask import Asker

TEXTS = (
    "<img src=https://evil.example/a.png onerror=\"document.title='taken'\"><script>document.title='taken'</script>",
    "![x](https://evil.example/p.png) <b>bold</b> $a$ [l](https://evil.example) </textarea><img src=//evil.example>",
)


class Hostile(Asker):
    """Says TEXTS in the place of any model."""

    def stream(self, **asked: Any) -> Iterator[list[str]]:  # pyright: ignore[reportIncompatibleMethodOverride]
        for end in (20, None):
            yield [text[:end] for text in TEXTS]

    def start(self) -> None:
        """Needs no worker."""


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    port = parser.parse_args().port
    password = os.environ[server.PASSWORD]
    server.serve(Arena(asker=Hostile()), host="127.0.0.1", port=port, share=False, password=password, say=print)
