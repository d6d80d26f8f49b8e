"""Text to token ids, through the Rust ``tokenizers`` library.

Why a class around it: the library keeps truncation and padding as mutable state of the
tokenizer, and a stored ``tokenizer.json`` may switch either on. The gateway tokenises
from several threads with several limits, so here both are off for good, truncation is
done on the ids, and the object never changes after it is built.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tokenizers import AddedToken, decoders, models, normalizers, pre_tokenizers, processors
from tokenizers import Tokenizer as RustTokenizer

from catalog.text import normalise_text
from catalog.word_pieces import learn_word_pieces
from faults import InvalidInput, NotFound

__all__ = ["Tokenizer", "pad_batch", "train_tokenizer"]

PAD_ID = 0
_SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_SMALLEST_VOCABULARY = 128
_FEWEST_LETTERS = 48
_LONGEST_WORD = 64


class Tokenizer:
    """An immutable tokenizer; safe to share between threads.

    Args:
        data: the bytes of a ``tokenizer.json``. They are kept as they are, so that
            ``sha256`` is the hash of the file that a release stores.

    Raises:
        InvalidInput: the bytes are not a tokenizer.
    """

    def __init__(self, data: bytes) -> None:
        try:
            self._rust = RustTokenizer.from_str(data.decode("utf-8"))
        except Exception as error:  # the library raises bare Exception on anything it cannot parse
            raise InvalidInput(
                f"not a tokenizer.json: {error}.",
                field="tokenizer",
                fix="Give the tokenizer.json that belongs to the checkpoint, unchanged.",
            ) from error
        self._rust.no_truncation()
        self._rust.no_padding()
        self._data = data
        self._tail = self._closing_tokens()
        self.sha256 = hashlib.sha256(data).hexdigest()

    @classmethod
    def from_bytes(cls, data: bytes) -> Tokenizer:
        """Returns the tokenizer stored in ``data``; raises InvalidInput where it is none."""
        return cls(data)

    @classmethod
    def from_file(cls, path: Path) -> Tokenizer:
        """Returns the tokenizer of a ``tokenizer.json``; raises NotFound or InvalidInput."""
        try:
            data = Path(path).read_bytes()
        except OSError as error:
            raise NotFound(
                f"the tokenizer file cannot be read ({error.strerror}).",
                field="tokenizer",
                value=str(path),
                fix="Name a tokenizer.json that exists.",
            ) from error
        return cls(data)

    def to_bytes(self) -> bytes:
        """Returns exactly the bytes this tokenizer was built from."""
        return self._data

    @property
    def vocabulary_size(self) -> int:
        """Number of distinct token ids; every id that ``encode`` returns is below it."""
        return self._rust.get_vocab_size(with_added_tokens=True)

    def encode(self, texts: Sequence[str], max_length: int) -> list[list[int]]:
        """Returns the token ids of each text, normalised first, special tokens included.

        Args:
            texts: raw text; an empty one gives the special tokens alone.
            max_length: most ids per text. A longer one loses words at its end and
                keeps the closing special token, which the towers were trained with.

        Raises:
            InvalidInput: ``max_length`` leaves no room for a word.
        """
        least = len(self._tail) + 2
        if max_length < least:
            raise InvalidInput(
                "too few tokens to hold a word.",
                field="max_length",
                value=max_length,
                fix=f"Give at least {least}.",
            )
        encoded = self._rust.encode_batch_fast([normalise_text(text) for text in texts])
        return [self._truncated(encoding.ids, max_length) for encoding in encoded]

    def _truncated(self, ids: list[int], max_length: int) -> list[int]:
        if len(ids) <= max_length:
            return ids
        return ids[: max_length - len(self._tail)] + self._tail

    def _closing_tokens(self) -> list[int]:
        """Finds what the post-processor puts after the text ([SEP], or nothing)."""
        frame = self._rust.encode("").ids
        separator = self._rust.token_to_id("[SEP]")
        return [separator] if frame and frame[-1] == separator else []


def train_tokenizer(texts: Iterable[str], vocabulary_size: int) -> Tokenizer:
    """Learns a WordPiece vocabulary with BERT's special tokens ([PAD] is 0); equal texts give equal bytes.

    Args:
        texts: titles, descriptions and queries; normalised here.
        vocabulary_size: most entries; a small collection gives fewer.

    Raises:
        InvalidInput: the vocabulary cannot hold the special tokens and an alphabet.
    """
    if vocabulary_size < _SMALLEST_VOCABULARY:
        raise InvalidInput(
            "too small for the special tokens and an alphabet.",
            field="vocabulary_size",
            value=vocabulary_size,
            fix=f"Give at least {_SMALLEST_VOCABULARY}; a few thousand is usual.",
        )
    normalizer = normalizers.BertNormalizer(
        clean_text=True, handle_chinese_chars=True, strip_accents=True, lowercase=True
    )
    pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    words: Counter[str] = Counter()
    for text in texts:
        plain = normalizer.normalize_str(normalise_text(text))
        words.update(word for word, _ in pre_tokenizer.pre_tokenize_str(plain))
    room = vocabulary_size - len(_SPECIAL_TOKENS)
    pieces = learn_word_pieces(words, room, most_letters=max(_FEWEST_LETTERS, room // 8))
    return _assemble([*_SPECIAL_TOKENS, *pieces], normalizer, pre_tokenizer)


def _assemble(
    vocabulary: Sequence[str],
    normalizer: normalizers.Normalizer,
    pre_tokenizer: pre_tokenizers.PreTokenizer,
) -> Tokenizer:
    ids = {piece: number for number, piece in enumerate(vocabulary)}
    rust = RustTokenizer(models.WordPiece(ids, unk_token="[UNK]", max_input_chars_per_word=_LONGEST_WORD))
    rust.normalizer = normalizer
    rust.pre_tokenizer = pre_tokenizer
    rust.decoder = decoders.WordPiece()
    rust.add_special_tokens([AddedToken(name, special=True) for name in _SPECIAL_TOKENS])
    ends = [(name, ids[name]) for name in ("[CLS]", "[SEP]")]
    rust.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    return Tokenizer(rust.to_str().encode("utf-8"))


def pad_batch(
    ids: Sequence[Sequence[int]], multiple_of: int = 1, at_most: int | None = None
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Returns ``(input_ids, attention_mask)``, both int64 ``[B, L]``, padded on the right with 0.

    Args:
        ids: B lists of token ids, each of any length.
        multiple_of: L is rounded up to it, so that an engine sees few distinct shapes.
        at_most: L is not rounded above it (a tower has positions for so many tokens).

    Raises:
        InvalidInput: ``multiple_of`` is below 1.
    """
    if multiple_of < 1:
        raise InvalidInput("must be positive.", field="multiple_of", value=multiple_of, fix="Give 1 or more.")
    longest = max((len(row) for row in ids), default=0)
    length = -(-longest // multiple_of) * multiple_of
    if at_most is not None:
        length = max(longest, min(length, at_most))
    input_ids = np.full((len(ids), length), PAD_ID, dtype=np.int64)
    attention_mask = np.zeros((len(ids), length), dtype=np.int64)
    for row, tokens in enumerate(ids):
        input_ids[row, : len(tokens)] = tokens
        attention_mask[row, : len(tokens)] = 1
    return input_ids, attention_mask
