"""Classes as files have them, words or numbers, and as `Images` keeps them: numbers, some named."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gmvae.support.errors import ContentError
from gmvae.support.names import listed, natural

# Of a word that is a number: 10**18 fits into 63 bits.
LONGEST_NUMBER = 18


def class_values(words: Iterable[str], name: str) -> dict[str, int]:
    """From each class as a word to its number.

    A class is the number that the word is, where all words are numbers, and otherwise its place
    among the words in natural order.

    Args:
        words: the classes, each once or more often.
        name: what holds them, for the error message.

    Raises:
        ContentError: two of the words are one number, as 1 and 01.

    Example:
        >>> class_values(["cat", "dog", "cat"], "pets"), class_values(["8", "1", "10"], "digits")
        ({'cat': 0, 'dog': 1}, {'1': 1, '8': 8, '10': 10})
    """
    distinct = sorted(set(words), key=natural)
    if not are_numbers(distinct):
        return {word: place for place, word in enumerate(distinct)}
    values = {word: int(word) for word in distinct}
    if len(set(values.values())) < len(values):
        raise ContentError(
            f"`{name}` expected a name a class; got two of the same number, as 1 and 01. Join them."
        )
    return values


def are_numbers(words: Iterable[str]) -> bool:
    """Whether all words are whole numbers from 0."""
    return all(word.isdecimal() and len(word) <= LONGEST_NUMBER for word in words)


def names_of(values: Mapping[str, int]) -> dict[int, str]:
    """The words by their number; none where all words are numbers themselves."""
    return {} if are_numbers(values) else {value: word for word, value in values.items()}


def as_classes(labels: ArrayLike, n: int, name: str) -> tuple[NDArray[np.int64], dict[int, str]]:
    """The labels of ``n`` images as int64 (n,), and what they stand for where they are words.

    Args:
        labels: integers from 0, or words; (n,) or (n, 1).
        n: the number of images.
        name: what the images are called, for the error messages.

    Raises:
        ContentError: labels that are neither, negative, or of another length.
    """
    values: NDArray[Any] = np.asarray(labels)
    if values.shape == (n, 1):
        values = values[:, 0]
    if values.shape != (n,):
        raise ContentError(
            f"`{name}` expected labels of shape ({n},), one an image; got {values.shape}. "
            "Give each image one label, or leave the labels out."
        )
    if values.dtype.kind in "US":
        words = (
            [word.decode("utf-8", "replace") for word in values.tolist()]
            if (values.dtype.kind == "S")
            else values.tolist()
        )
        numbers = class_values(words, name)
        return np.array([numbers[word] for word in words], np.int64), names_of(numbers)
    if values.dtype.kind not in "iu":
        raise ContentError(
            f"`{name}` expected labels that are integers or words; got {values.dtype}. "
            "Save them as integers from 0, or as words: labels.astype(str)."
        )
    # A negative number marks an unobserved label elsewhere, so it cannot be a class.
    if values.min() < 0:
        raise ContentError(
            f"`{name}` expected labels of 0 or more; got {values.min()}. "
            "Leave out the labels, or the images that have none."
        )
    if values.max() > np.iinfo(np.int64).max:
        raise ContentError(
            f"`{name}` expected labels below 2**63; got {values.max()}. Number the classes from 0."
        )
    return values.astype(np.int64), {}


def matched(words: Mapping[int, str], known: Mapping[int, str], name: str) -> dict[int, int]:
    """From each class number to that of the same word elsewhere.

    Args:
        words: what the numbers stand for.
        known: what they stand for elsewhere.
        name: what holds ``words``, for the error message.

    Raises:
        ContentError: a word that is not among those.
    """
    numbers = {word: value for value, word in known.items()}
    strange = [word for word in words.values() if word not in numbers]
    if strange:
        raise ContentError(
            f"`{name}` expected the classes {listed(known.values())}; got {listed(strange)}. Name "
            "them alike."
        )
    return {value: numbers[word] for value, word in words.items()}
