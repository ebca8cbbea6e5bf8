"""What answers go together by: those about one picture, or one thing where a data set says what every picture shows."""

from collections.abc import Iterable

from safeeraser.data.records import VQA


class Units:
    """The units of a data set's answers. `name` is the word for one of them: `thing` or `picture`.

    Two pictures of one thing are answered alike, so where the data set names what each picture shows, as the demo world
    does, a unit is a thing. SafeEraser's own data do not name what their safe pictures show.
    """

    def __init__(self, items: Iterable[VQA]) -> None:
        """items: the whole data set's."""
        concepts = [item.concept for item in items]
        self.name = "thing" if concepts and all(concepts) else "picture"

    def of(self, item: VQA) -> str:
        """The item's unit; a missing picture is told apart by its id, `<split>/<image_id>/<set>/<k>`."""
        return str(item.concept) if self.name == "thing" else str(item.picture or item.record)
