"""The vocabulary: token ids to words and back, with four ids that are no words."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from model.errors import CaptionerError

PAD, START, END, OOV = 0, 1, 2, 3
# In the order of their ids; first lines of every vocabulary.txt.
SPECIAL_TOKENS = ("<pad>", "<start>", "<end>", "<unk>")
# Never produced by a sampler.
UNWRITABLE = (PAD, START, OOV)


@dataclass(frozen=True)
class Vocabulary:
    """The words of `vocabulary.txt`; a token's id is its line number, counted from 0."""

    tokens: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.tokens[: len(SPECIAL_TOKENS)] != SPECIAL_TOKENS:
            raise CaptionerError(
                f"vocabulary starts with {self.tokens[:4]}, expected {SPECIAL_TOKENS}; "
                "make the dataset again"
            )

    def __len__(self) -> int:
        return len(self.tokens)

    def words(self, token_ids: Iterable[int]) -> list[str]:
        """The words of `token_ids` up to END, without the special tokens."""
        words = []
        for token_id in token_ids:
            if token_id == END:
                break
            if token_id >= len(SPECIAL_TOKENS):
                words.append(self.tokens[token_id])
        return words

    def ids(self, words: Iterable[str]) -> tuple[int, ...]:
        """The ids of `words`, all of which it has."""
        return tuple(self.tokens.index(word) for word in words)

    def ids_to_ban(self, words: Collection[str]) -> list[int]:
        """The ids of `words`, none of which is a special token.

        Raises:
            CaptionerError: if one of them is no word of the vocabulary.
        """
        first = len(SPECIAL_TOKENS)
        ids = {token: token_id for token_id, token in enumerate(self.tokens[first:], first)}
        for word in words:
            if word not in ids:
                raise CaptionerError(
                    f"--ban-words: got {word!r}, expected words of the model's vocabulary of "
                    f"{len(ids)}, as vocabulary.txt spells them; correct it or leave it out"
                )
        return [ids[word] for word in words]


def read_vocabulary(path: Path) -> Vocabulary:
    """Reads `vocabulary.txt`, one token a line.

    Raises:
        CaptionerError: if the file is absent or does not start with the special tokens.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise CaptionerError(
            f"{path} is missing; put it back, or make again what it belongs to"
        ) from error
    # Not splitlines(): a word may hold a character that Unicode counts as a line break.
    return Vocabulary(tuple(text.removesuffix("\n").split("\n")))
