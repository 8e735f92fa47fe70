"""The features of exit 0 as sparse matrices, and how many of them there is room for.

The columns are the rows of :class:`dimec.bundle.exit0.Exit0`'s tables, so that what is fitted here
is what is looked up there.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np

from dimec.base.arrays import IntArray
from dimec.bundle.exit0 import LARGEST
from dimec.bundle.exit0_rows import BINS, Whole, bigram_rows, n_to, share_bins, sides_of

MOST_COLUMNS = 16  # of weights a token; more classes share these
_MOST_BITS = 17  # of the hash of two neighbours
_LEAST_TEXTS = 2  # that a token must stand in, to have a weight
_MOST_WEIGHTS = 20_000_000  # in the fit, before classes share columns


@dataclass(frozen=True, eq=False)
class Plan:
    """Which weights exit 0 is to have.

    Attributes:
        ids: (R,) int32, the tokens with weights, ascending.
        bits: the table of neighbours has 2^bits rows; 0 for none.
        pairs: whether an input is a pair of texts.
        separator: the id that ends the first text of a pair, -1 where none does.
        vocabulary: token ids are 0 … vocabulary - 1.
    """

    ids: Whole
    bits: int
    pairs: bool
    separator: int
    vocabulary: int

    @property
    def tables(self) -> int:
        """How many weights a token has, in each column."""
        return 3 if self.pairs else 1

    @property
    def looked_up(self) -> int:
        """Features whose sum is divided by a power of the number of tokens."""
        return self.tables * len(self.ids) + (1 << self.bits if self.bits else 0)


@dataclass(frozen=True, eq=False)
class Design:
    """The features of N texts.

    Attributes:
        counts: (N, F) how often each row of the tables is looked up; a sparse CSR matrix.
        shares: (N, 3·21) of pairs the bins of the shares; (N, 0) of texts. Sparse too.
        n: (N,) tokens with weights.
    """

    counts: Any
    shares: Any
    n: IntArray

    def features(self, power: float, typical: float) -> Any:
        """(N, F + shares) sparse: counts over n^power, in units in which a typical n is 1.

        Args:
            power: 0, 1/2 or 1.
            typical: the number of tokens at which the power makes no difference, so that one
                penalty of weights suits every power.
        """
        from scipy import sparse

        scale = np.array([n_to(power, max(1, n)) for n in self.n.tolist()])
        rows = sparse.diags(typical**power / scale)
        return sparse.hstack([rows @ self.counts, self.shares]).tocsr()

    def take(self, rows: IntArray) -> Design:
        """Some of the texts."""
        return Design(self.counts[rows], self.shares[rows], self.n[rows])


def columns_of(classes: int) -> int:
    """K: one for two classes, one for each of up to 16, 16 that more classes share."""
    return 1 if classes == 2 else min(classes, MOST_COLUMNS)


def plan_of(
    ids: Whole,
    offsets: IntArray,
    *,
    vocabulary: int,
    classes: int,
    width: int,
    left_out: Collection[int] = (),
    pairs: bool = False,
    separator: int = -1,
    bigrams: bool = True,
) -> Plan:
    """The weights that N texts give reason for, and that there is room for.

    Tokens that stand in two texts or more, the most frequent ones where there is no room for all;
    and about two rows for each two neighbours that occur, at most half of the room.

    Args:
        ids: token ids of all texts, end to end.
        offsets: (N + 1,) where each begins.
        vocabulary: how many ids there are.
        classes: C.
        width: D.
        left_out: ids that never have weights, such as special tokens.
        pairs: whether an input is a pair of texts, which has no weights for neighbours.
        separator: see :class:`Plan`.
        bigrams: whether neighbours are to have weights.
    """
    columns, tables = columns_of(classes), 3 if pairs else 1
    fixed = 4 * (columns * (width + classes) + 2 * classes) + (6 * BINS * columns if pairs else 0)
    room = max(0, LARGEST - fixed)
    known = np.bincount(ids, minlength=vocabulary) > 0
    known[list(left_out)] = False
    bits = 0
    if bigrams and not pairs and classes <= MOST_COLUMNS:
        bits = _bits(ids[known[ids]], room // 2 // (2 * columns))
    room -= 2 * columns << bits if bits else 0
    most = min(room // (2 * columns * tables + 4), _MOST_WEIGHTS // (classes * tables))
    texts = _texts_with(ids, offsets, vocabulary)
    texts[~known] = 0
    order = np.argsort(-texts, kind="stable")[:most]
    kept = np.sort(order[texts[order] >= _LEAST_TEXTS]).astype(np.int32)
    return Plan(kept, bits, pairs, separator, vocabulary)


def design_of(plan: Plan, ids: Whole, offsets: IntArray) -> Design:
    """The features of N texts, from their token ids end to end and where each begins."""
    from scipy import sparse

    index = np.zeros(plan.vocabulary, np.int64)
    index[plan.ids] = np.arange(1, len(plan.ids) + 1)
    found: list[Whole] = []
    binned = []
    n = np.zeros(len(offsets) - 1, np.int64)
    for row, (start, end) in enumerate(itertools.pairwise(offsets.tolist())):
        here = ids[start:end]
        if plan.pairs:
            columns, bins = _of_pair(plan, here, index[here])
            binned.append(bins)
            n[row] = len(columns)
        else:
            columns, n[row] = _of_text(plan, here, index[here])
        found.append(columns)
    counts = _sparse(found, plan.looked_up)
    if plan.pairs:
        return Design(counts, _sparse(binned, 3 * BINS), n)
    return Design(counts, sparse.csr_matrix((len(n), 0)), n)


def _of_text(plan: Plan, ids: Whole, rows: Whole) -> tuple[Whole, int]:
    """The columns of a text, and its number of tokens with weights."""
    known = rows > 0
    columns = rows[known] - 1
    if plan.bits and len(columns) > 1:
        pairs = bigram_rows(ids[known], plan.bits).astype(np.int64)
        return np.concatenate([columns, pairs + len(plan.ids)]), len(columns)
    return columns, len(columns)


def _of_pair(plan: Plan, ids: Whole, rows: Whole) -> tuple[Whole, Whole]:
    """The columns of a pair, and those of its shares; of one without tokens none."""
    size, sides = len(plan.ids), sides_of(ids.tolist(), rows.tolist(), plan.separator)
    columns = [row - 1 + table * size for table, side in enumerate(sides) for row in sorted(side)]
    bins = [bin_ + BINS * table for table, bin_ in enumerate(share_bins(*sides))]
    return np.array(columns, np.int64), np.array(bins if columns else [], np.int64)


def _sparse(found: list[Whole], width: int) -> Any:
    """(N, width) counts of the columns found in each row."""
    from scipy import sparse

    starts = np.cumsum([0, *map(len, found)])
    columns = np.concatenate([np.zeros(0, np.int64), *found])
    values = np.ones(len(columns))
    matrix = sparse.csr_matrix((values, columns, starts), (len(found), width))
    matrix.sum_duplicates()
    return matrix


def _texts_with(ids: Whole, offsets: IntArray, vocabulary: int) -> IntArray:
    """(vocabulary,) in how many texts each id stands."""
    rows = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    each = np.unique(rows * vocabulary + ids)
    return np.bincount(each % vocabulary, minlength=vocabulary)


def _bits(ids: Whole, most: int) -> int:
    """The bits of a hash with twice as many rows as there are different neighbours."""
    different = len(np.unique(bigram_rows(ids, 64))) if len(ids) > 1 else 0
    bits = min(_MOST_BITS, (2 * different).bit_length(), max(1, most).bit_length() - 1)
    return bits if different else 0
