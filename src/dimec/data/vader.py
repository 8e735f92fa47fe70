"""Four sets of short English texts with the sentiment ratings of 15 and more human raters each.

Source: Hutto & Gilbert, "VADER: A Parsimonious Rule-based Model for Sentiment Analysis of Social
Media Text" (ICWSM 2014), in the source archive of the package vaderSentiment. A text is positive
when its mean rating, on a scale from -4 to 4, is above 0, and negative otherwise.

The raters' standard deviation (over the raters, not a sample estimate) measures how difficult a
text is without any model. In the archive, 199 of the 4,200 tweets have a published mean that is not
the mean of the ratings listed under the same id (it has the same sign); the label follows the
published mean, the deviation the listed ratings.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dimec.base.errors import DataError
from dimec.data.dataset import Dataset
from dimec.data.fetching import package_folder
from dimec.data.packages import VADER
from dimec.data.sources import numbered_lines, read_text

LABEL_NAMES = ("negative", "positive")
STEMS = {
    "movies": "movieReviewSnippets",
    "tweets": "tweets",
    "amazon": "amazonReviewSnippets",
    "nyt": "nytEditorialSnippets",
}


@dataclass(frozen=True)
class _Row:
    line: int
    number: float
    rest: str


def load_vader(name: str) -> Dataset:
    """Fetch (once) and read one of the sets ``movies``, ``tweets``, ``amazon`` and ``nyt``.

    Raises:
        DataError: the archive cannot be fetched, or is damaged.
        StorageError: the cache cannot be written.
    """
    return read_vader(name, package_folder(VADER))


def read_vader(name: str, folder: Path) -> Dataset:
    """Read ``STEM_GroundTruth.txt`` and ``STEM_anonDataRatings.txt`` of the set ``name``.

    Both are UTF-8 and tab-separated without header or quoting: id, mean rating, text; and id, mean,
    standard deviation, list of ratings. They are joined by id. Rows keep the first file's order;
    identifiers are ``NAME-ID``; extra columns ``rating`` and ``rating_std``.
    """
    truth_path = folder / f"{STEMS[name]}_GroundTruth.txt"
    ratings_path = folder / f"{STEMS[name]}_anonDataRatings.txt"
    truth = _read(truth_path, fields=3, number=1)
    ratings = _read(ratings_path, fields=4, number=2)
    for identifier, row in truth.items():
        if identifier not in ratings:
            raise DataError(
                f"{truth_path}, line {row.line}: the id {identifier!r} is not in "
                f"{ratings_path.name}; fetch the files again"
            )
    rating = np.array([row.number for row in truth.values()], dtype=np.float64)
    deviation = np.array([ratings[key].number for key in truth], dtype=np.float64)
    return Dataset(
        task=f"vader/{name}",
        texts=tuple(row.rest for row in truth.values()),
        pairs=None,
        labels=(rating > 0).astype(np.int64),
        label_names=LABEL_NAMES,
        guids=tuple(f"{name}-{identifier}" for identifier in truth),
        extra={"rating": rating, "rating_std": deviation},
    )


def _read(path: Path, *, fields: int, number: int) -> dict[str, _Row]:
    """Id → the number in field ``number`` and the last field, in file order."""
    rows: dict[str, _Row] = {}
    for line, content in numbered_lines(read_text(path)):
        cells = content.split("\t")
        try:
            if len(cells) != fields or cells[0] in rows:
                raise ValueError
            rows[cells[0]] = _Row(line, float(cells[number]), cells[-1])
        except ValueError:
            raise DataError(
                f"{path}, line {line}: expected {fields} fields separated by tabs, an id that is "
                f"not there yet first and a number in field {number + 1}; fetch the files again"
            ) from None
    return rows
