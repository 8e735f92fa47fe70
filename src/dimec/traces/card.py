"""The card of a trace in the collection: what made it, of what, and what its files are."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from dimec.base.errors import CorruptArtefactError, shown
from dimec.base.storage import read_json, write_json

FILE = "card.json"
SPLITS = ("validation", "test")
_MOST = 3  # complaints in one line


def exit_name(layer: int, source: str = "") -> str:
    """What a card calls an exit.

    Example:
        >>> exit_name(6), exit_name(2, "mobile")
        ('6', 'mobile:2')
    """
    return f"{source}:{layer}" if source else str(layer)


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class CardTier(_Part):
    """A tier that the traces were made for.

    Attributes:
        name: of the tier.
        layer: at whose exit it answers.
        source: the model behind it, ``""`` where all tiers are cut out of one.
        price: of a layer, of sending and of a visit, in λ, where the traces bring prices; else the
            paper's are taken.
        sent: what goes to it over the network: token ids, or the text, where its tokenizer is
            another than the first tier's.
    """

    name: str
    layer: int = Field(ge=0)
    source: str = ""
    price: tuple[float, float, float] | None = None
    sent: Literal["ids", "text"] = "ids"


class CardShape(_Part):
    """Widths of an encoder's layers, which tell how many operations a layer takes."""

    width: int = Field(ge=1)
    intermediate: int = Field(ge=1)


class Card(_Part):
    """What is known of the traces in one folder of the collection.

    Attributes:
        version: of the card's form.
        task: whose rows, as ``dimec train --task`` takes it.
        source: where the rows come from, in words; which of them were trained on.
        licence: of the source, in words.
        backbone, recipe, seed: of the training; of several models each one's encoder by its tier.
        model: fingerprint of the trained model, or the digest of several.
        exits, tiers, shapes: where classifiers are, where the tiers are, and how wide layers are,
            by source. No shapes: nobody knows how long a layer takes.
        rows: numbers of rows by split: what was trained on, and what the traces hold.
        drawn_from: numbers of rows of those splits of which the traces hold a stratified sample.
        epochs, best_epoch: of the training, counted from 0; of several models the last one's.
        test_accuracy: share of right answers among the kept test rows by exit, ``SOURCE:LAYER``.
        settings: of the run, as its ``config.toml`` has them; None for records of others.
        versions: of the software that made them.
        date: of the training, in ISO form.
        own: what is known of each tier's own model.
        sha256: of each file beside the card.
    """

    version: Literal[1] = 1
    task: str
    source: str
    licence: str
    backbone: str | Mapping[str, str]
    recipe: str
    seed: int
    model: str
    exits: tuple[int, ...]
    tiers: tuple[CardTier, ...] = Field(min_length=1)
    shapes: Mapping[str, CardShape] = Field(default_factory=dict)
    rows: Mapping[str, int]
    drawn_from: Mapping[str, int] = Field(default_factory=dict)
    epochs: int = 0
    best_epoch: int = 0
    test_accuracy: Mapping[str, float] = Field(default_factory=dict)
    settings: Mapping[str, Any] | None = None
    versions: Mapping[str, str]
    date: str
    own: Mapping[str, Any] = Field(default_factory=dict)
    sha256: Mapping[str, str]

    @classmethod
    def load(cls, folder: Path, made_by: str) -> Self:
        """The card in a folder.

        Raises:
            MissingArtefactError: there is none.
            CorruptArtefactError: it is none; names what is wrong.
        """
        path = folder / FILE
        values = read_json(path, made_by)
        try:
            card = cls.model_validate(values)
            wrong = card._lacks()
        except ValidationError as error:
            wrong = [f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()]
        if wrong:
            told = shown("; ".join(wrong[:_MOST]))
            raise CorruptArtefactError(
                f"{path} is no card of traces ({told}); make it again with: {made_by}"
            )
        return card

    def _lacks(self) -> list[str]:
        """What whoever reads a card counts on, and this one does not have."""
        exits = [exit_name(tier.layer, tier.source) for tier in self.tiers]
        return [
            *(f"rows: nothing of {split}" for split in SPLITS if split not in self.rows),
            *(f"test_accuracy: no exit {x}" for x in exits if x not in self.test_accuracy),
        ]

    def save(self, folder: Path) -> None:
        """Write the card into a folder."""
        values = self.model_dump(mode="json", exclude_defaults=True)
        write_json(folder / FILE, {"version": self.version, **values})
