"""Whether an answer is no text that a person would write: empty, a loop, debris, words in a senseless order.

Not seen: fluent nonsense, and words in a senseless order in another language than English.
"""

import re
import unicodedata
from itertools import pairwise

# Natural text of 500 words keeps more than nine in ten of its three-word sequences distinct; a loop keeps few.
MOST_REPEATED = 0.5
# Names and abbreviations look odd too, but never make up four in ten words of a sentence.
LEAST_PLAUSIBLE = 0.6
MOST_DOUBLED = 0.4  # words that repeat the one before
MOST_SYMBOLS = 0.5  # of what stands between spaces, without what lists, tables and code are made of
MOST_DEBRIS = 0.15  # of an answer's characters
LONGEST_WORD = 24
_RUN = re.compile(r"([^\s._*#=|-])\1{7,}|([^\W\d_]{2,12}?)\2{4,}")
_MARKS = re.compile(r"[|*#=+<>/\-\u2013\u2014\u2022\u00b7`~_:]+|[{}\[\](),.;]")
_CODE = re.compile(r"```.*?(?:```|$)", re.DOTALL)
_VOWEL = re.compile(r"[aeiouy]|[^\x00-\x7f]")
_CONSONANTS = re.compile(r"[bcdfghjklmnpqrstvwxz]{6,}")
_TOKEN = re.compile(r"[^\W_]+(?:['\u2019.,:%][^\W_]+)*")
_NUMBER = re.compile(r"[\d.,:%]*\d[\d.,:%]*[^\W\d_]{0,4}")
# UTF-8 read as another encoding, bytes and code points written out, and what a decoder puts for bytes it cannot read.
_DEBRIS = re.compile(
    r"[\u00c2\u00c3\u00e2\u00c5][\u0080-\u00bf\u0152\u0153\u0160\u0161\u0178\u017d\u017e\u0192\u02c6\u02dc\u2013-\u203a\u20ac\u2122]+"
    r"|<0x[0-9A-Fa-f]{2}>|\\[ux][0-9A-Fa-f]{2,4}|\ufffd+"
)


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Words that hold an English sentence together.
_DETERMINERS = _words("the a an")
_LINKS = _words("of with from for at into")
_CONJUNCTIONS = _words("because if however therefore although while whereas moreover")
_AFTER_DETERMINER = _DETERMINERS | _LINKS | _CONJUNCTIONS
_AFTER_DETERMINER |= _words("in on over under by and or is are was were been be it he they yes which there us them")
_HOLDING = _AFTER_DETERMINER | _words(
    """
    i you she we me him her my your his its our their this that these those here what who how when where why to being am
    do does did has have had can could will would shall should may might must not no above below between through during
    before after up down out off then than so but as about around near behind very too also just only all any some each
    every both more most other such own same one two three don't it's
    """
)
_DOUBLED = _words("that had very no do is so")  # those that English doubles now and then
# Enough of them in a text, and it is in another language: its order is not judged.
_ELSEWHERE = _words(
    """
    der die das und ist ein eine einen einem nicht mit auf den dem zu sich es el los las una uno en que de la del con
    por para le les des une est dans pour sur avec il di che per sono um uma nao nas na da het een van niet zijn met och
    det som att ikke og er
    """
)
_CLAUSE = re.compile(r"[.,;:!?()\[\]{}\"\u201c\u201d|*\n\u2013\u2014]+|\d+| - ")


def meaningless(answer: str) -> str | None:
    """Why the answer is no text a person would write, or None if it could be one."""
    if not any(character.isalnum() for character in answer):
        return "empty: no letter and no digit"
    if (share := sum(len(found.group()) for found in _DEBRIS.finditer(answer)) / len(answer)) >= MOST_DEBRIS:
        return f"{share:.0%} of it are broken characters"
    pieces = [piece for piece in answer.split() if not _MARKS.fullmatch(piece)]
    if sum(not any(map(str.isalnum, piece)) for piece in pieces) > len(pieces) * MOST_SYMBOLS:
        return "more signs than words"
    if _RUN.search(answer):
        return "one letter or syllable over and over"
    if (share := repeated_share(answer)) >= MOST_REPEATED:
        return f"{share:.0%} of its three-word sequences are repeats"
    if (share := doubled_share(answer)) >= MOST_DOUBLED:
        return f"{share:.0%} of its words repeat the word before"
    if (share := plausible_share(answer)) < LEAST_PLAUSIBLE:
        return f"only {share:.0%} of its tokens look like words"
    return "words in a senseless order" if _heaped(answer) else None


def repeated_share(answer: str, *, length: int = 3) -> float:
    """The share of word sequences of this length that occurred before: 0 for none, towards 1 for a loop.

    One sequence alone cannot repeat, so answers of up to `length` words score 0.
    """
    words = answer.lower().split()
    sequences = list(zip(*(words[start:] for start in range(length)), strict=False))
    return 1 - len(set(sequences)) / len(sequences) if sequences else 0.0


def doubled_share(answer: str) -> float:
    """The share of words that repeat the word before, of six words or more."""
    words = [word.lower() for word in _TOKEN.findall(answer) if not word[0].isdigit()]
    return sum(one == other for one, other in pairwise(words)) / (len(words) - 1) if len(words) >= 6 else 0.0


def plausible_share(answer: str) -> float:
    """The share of tokens that look like words or numbers of a language written in letters; 0 without tokens."""
    tokens = _TOKEN.findall(_without_marks(_CODE.sub(" ", answer)))
    fenced = _CODE.search(answer) is not None
    return sum(map(_plausible, tokens)) / len(tokens) if tokens else float(fenced)


def _without_marks(text: str) -> str:
    """Without the marks that scripts such as Devanagari and Thai set above and below letters."""
    return "".join(character for character in text if not unicodedata.category(character).startswith("M"))


def _plausible(token: str) -> bool:
    bare = token.strip(".,:%'\u2019")
    if _NUMBER.fullmatch(bare) or (bare.isupper() and bare.isalnum() and len(bare) <= 5):
        return True
    if bare.lower() == bare.upper():  # a script without capitals, whose words need no space between them
        return bare.isalpha()
    letters = re.sub(r"['\u2019.]", "", bare)
    if len(letters) > LONGEST_WORD:
        return False
    one_case = letters[1:].islower() or letters.isupper() or len(letters) == 1
    low = letters.lower()
    return one_case and _VOWEL.search(low) is not None and not _CONSONANTS.search(low)


def _heaped(answer: str) -> bool:
    """Whether the words are English and stand in an order that no English sentence has."""
    clauses = [[word.lower() for word in clause.split()] for clause in _CLAUSE.split(answer)]
    words = [word for clause in clauses for word in clause]
    if len(words) < 8 or sum(word in _ELSEWHERE for word in words) > len(words) / 10:
        return False
    broken = sum(_broken(*pair) for clause in clauses for pair in pairwise(clause))
    return broken >= max(2, len(words) / 25)


def _broken(one: str, other: str) -> bool:
    """Whether no English sentence has these two words in a row."""
    if one in _DETERMINERS:
        return other in _AFTER_DETERMINER
    if one == other:
        return one.isalpha() and len(one) > 2 and one not in _DOUBLED
    return one in _LINKS and (other in _CONJUNCTIONS or (other in _LINKS and other not in ("at", "with")))
