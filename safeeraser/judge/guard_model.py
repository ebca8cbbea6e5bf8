"""A guard model, loaded by transformers: batches of questions and answers in, replies out.

A graded text is data: whatever in it looks like a control token or a mark of the model's format is broken up before it
is encoded, and of what comes out only newly generated tokens are read. transformers and torch are imported when a model
is loaded. Not covered: what a reply means (`guards.py`).
"""

import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from safeeraser.data import images
from safeeraser.judge.contract import JudgeError
from safeeraser.judge.guards import Guard


class Graded(NamedTuple):
    """What is put before a guard; picture: None for a guard that is not shown it."""

    question: str
    answer: str
    picture: Path | None = None


class Reply(NamedTuple):
    """What a guard said: generated text, or a class's name and its probability; without text, `why` there is none."""

    text: str | None
    why: str = ""


class GuardModel:
    """A guard's weights and tokenizer."""

    def __init__(self, guard: Guard, network: Any, processor: Any) -> None:
        """processor: its tokenizer, or for a guard that is shown pictures what holds its tokenizer."""
        self.guard, self.network, self.processor = guard, network, processor
        self.tokenizer = getattr(processor, "tokenizer", processor)
        # What comes next is read behind the last token, a class at the first one.
        self.tokenizer.padding_side = "right" if guard.labels else "left"
        if self.tokenizer.pad_token is None:
            self.tokenizer.pad_token = self.tokenizer.eos_token  # padding is masked: any token will do
        self.limit = int(network.config.get_text_config().max_position_embeddings)  # tokens, asked and generated
        added = {text: number for text, number in self.tokenizer.get_added_vocab().items() if len(text.strip()) > 1}
        self._control = frozenset(added.values()) - {self.tokenizer.unk_token_id}
        imitated = sorted({*added, *guard.marks}, key=len, reverse=True)
        self._imitating = re.compile("|".join(map(re.escape, imitated)), re.IGNORECASE)

    def replies(self, graded: Sequence[Graded]) -> list[Reply]:
        """One reply for each. Without one is what does not fit the model's context, and what stays a control token."""
        found: dict[int, Reply] = {}
        for place, one in enumerate(graded):
            if any(map(self._speaks, one[:2])):
                found[place] = Reply(None, "the text holds control tokens of the model, so it was not asked")
        while left := [place for place in range(len(graded)) if place not in found]:
            inputs = self._encode([graded[place] for place in left])
            lengths = zip(left, inputs["attention_mask"].sum(dim=1).tolist(), strict=True)
            long = {place: length for place, length in lengths if length + self.guard.new_tokens > self.limit}
            found |= {place: Reply(None, self._too_long(length)) for place, length in long.items()}
            if not long:
                found |= zip(left, self._run(inputs), strict=True)
        return [found[place] for place in range(len(graded))]

    def plain(self, text: str) -> str:
        """The text with a space in each thing that the model would take for a control token or a part of its format."""
        return self._imitating.sub(lambda match: f"{match[0][0]} {match[0][1:]}", text)

    def _speaks(self, text: str) -> bool:
        """Whether a text, plain as it is, would still be encoded with a control token."""
        encoded = self.tokenizer(self.plain(text), add_special_tokens=False)["input_ids"]
        return not self._control.isdisjoint(encoded)

    def _too_long(self, length: int) -> str:
        return f"question and answer are {length} tokens in the model's format, and its context holds {self.limit}"

    def _encode(self, graded: Sequence[Graded]) -> Any:
        how = {"padding": True, "return_tensors": "pt"}
        texts = [(self.plain(one.question), self.plain(one.answer)) for one in graded]
        if self.guard.text is not None:
            pieces = zip(*(self.guard.text(*text) for text in texts), strict=True)
            specials = bool(self.guard.labels)
            return self.tokenizer(*map(list, pieces), add_special_tokens=specials, **how)
        written = [self._written(*text, seen=one.picture is not None) for text, one in zip(texts, graded, strict=True)]
        if self.processor is self.tokenizer:
            return self.tokenizer(written, add_special_tokens=False, **how)
        pictures = [[images.rgb(one.picture)] for one in graded if one.picture]
        return self.processor(text=written, images=pictures or None, add_special_tokens=False, **how)

    def _written(self, question: str, answer: str, *, seen: bool) -> str:
        """Question and answer in the chat template, which has all special tokens itself."""
        asked: Any = question
        said: Any = answer
        if self.guard.parts:
            picture = [{"type": "image"}] if seen else []
            asked, said = [*picture, {"type": "text", "text": question}], [{"type": "text", "text": answer}]
        messages = [{"role": "user", "content": asked}, {"role": "assistant", "content": said}]
        return self.processor.apply_chat_template(messages, tokenize=False, add_generation_prompt=self.guard.prompts)

    def _run(self, inputs: Any) -> list[Reply]:
        import torch

        inputs = inputs.to(self.network.device)
        with torch.inference_mode():
            if self.guard.labels:
                shares = self.network(**inputs).logits.float().softmax(dim=-1)
                names = self.network.config.id2label
                return [Reply(names[int(row.argmax())], f"{float(row.max()):.2f}") for row in shares]
            made = self.network.generate(
                **inputs, max_new_tokens=self.guard.new_tokens, pad_token_id=self.tokenizer.pad_token_id, **_GREEDY
            )
        new = made[:, inputs["input_ids"].shape[1] :]
        return [Reply(text.strip()) for text in self.tokenizer.batch_decode(new, skip_special_tokens=True)]


# Some checkpoints ask for sampling in their own generation settings.
_GREEDY: dict[str, Any] = {"do_sample": False, "num_beams": 1, "temperature": None, "top_p": None, "top_k": None}


def load(guard: Guard, source: str, *, pictures: bool) -> GuardModel:
    """A guard on the GPU if there is one, from a folder or the hub; pictures: whether it is shown them.

    Raises JudgeError for what is missing, gated, or another model.
    """
    if source.startswith((".", "/", "~")) and not Path(source).expanduser().is_dir():
        raise JudgeError(f"guard:{guard.name}={source}: there is no such folder")
    with _explained(guard, source):
        network, processor = _load(guard, source, pictures=pictures)
    if guard.text is None and not getattr(processor, "chat_template", None):
        raise JudgeError(f"{source} is not a {guard.name}: it has no chat template.")
    return GuardModel(guard, network, processor)


def _load(guard: Guard, source: str, *, pictures: bool) -> tuple[Any, Any]:
    import torch
    import transformers

    if not sys.stderr.isatty():
        transformers.logging.disable_progress_bar()
    on_gpu = torch.cuda.is_available()
    # On a CPU in full precision, which there is as fast and never rounds two verdicts together.
    network, report = getattr(transformers, guard.loader).from_pretrained(
        source, dtype="auto" if on_gpu else torch.float32, output_loading_info=True, trust_remote_code=False
    )
    if absent := sorted(report["missing_keys"]):
        raise JudgeError(f"{source} is not a {guard.name}: it lacks {len(absent)} of its weights, first {absent[0]}.")
    names = set(network.config.id2label.values()) if guard.labels else set()
    if names != set(guard.labels):
        found, wanted = ", ".join(sorted(names)), ", ".join(guard.labels)
        raise JudgeError(f"{source} is not a {guard.name}: its classes are {found}, not {wanted}.")
    reader = transformers.AutoProcessor if pictures else transformers.AutoTokenizer
    return network.eval().to("cuda" if on_gpu else "cpu"), reader.from_pretrained(source, trust_remote_code=False)


@contextmanager
def _explained(guard: Guard, source: str) -> Iterator[None]:
    """One error that says what to do for all that keeps a checkpoint from loading."""
    try:
        yield
    except ImportError as error:
        raise JudgeError(f"The guard {source} needs a library that is not installed: {_first_line(error)}") from error
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise JudgeError(
            f"The guard {source} cannot be loaded: {_first_line(error)} Is its name right? A gated model needs its "
            "licence accepted on huggingface.co and `hf auth login`; without a network, give a folder: "
            f"guard:{guard.name}=FOLDER."
        ) from error


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
