"""Settings of the optimisation."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from dimec.base.errors import option
from dimec.settings.base import Settings
from dimec.settings.lists import numbers_of
from dimec.settings.option import Option


class TrainingSettings(Settings):
    """The optimisation; Adam as in the paper (section V-C), AdamW once ``weight_decay`` is set.

    ``loss``: ``"joint"`` is the sum of the exits' cross-entropies (equation 3), weighed by
    ``loss_weights`` where they are given; ``"depth"`` is PABEE's Σ i·CE_i / Σ i with i the exit's
    layer (Zhou et al. 2020, arXiv 2006.04152).

    ``accumulate``: the parts' gradients are added up before the one step of the batch, so that
    the batch keeps its size, and its step; only each part draws its own dropout.

    ``recipe``: ``"joint"`` trains everything at once. ``"two-stage"`` is DeeBERT's (Xin et al.
    2020, arXiv 2004.12993): first the encoder and the last exit alone, then the other
    exits alone on the frozen encoder; ``epochs`` and ``patience`` hold for each stage.
    ``exit_learning_rate`` is the second stage's, ``learning_rate`` if it is not given: that is as
    in the authors' code, but with few steps it leaves classifiers that start from nothing far from
    what they can learn. ``"own"`` trains a model for each tier, see
    :mod:`dimec.settings.distillation`.

    ``record_train``: keep the logits that the training passes themselves give of every training
    row, as Swayamdipta et al. (2020, arXiv 2009.10795) do, for ``dimec map select``.

    ``exit0``: fit a classifier that reads the embedding layer alone, once the model is trained; see
    :mod:`dimec.bundle.exit0`.
    """

    panel: ClassVar[str | None] = "Training"

    epochs: Annotated[int, Field(ge=2), Option("At least 2; default {default}.")] = 5
    batch_size: Annotated[int, Field(ge=1), Option("Default {default}.")] = 16
    accumulate: Annotated[
        int | None,
        Field(ge=1),
        Option(
            "Run a batch in so many parts, one after the other, for less memory; the step is the "
            "same. Default: all of it at once."
        ),
    ] = None
    learning_rate: Annotated[float, Field(gt=0, lt=1), Option("Default {default}.")] = 5e-5
    weight_decay: Annotated[
        float, Field(ge=0), Option("Above 0: AdamW. Default {default}, Adam.")
    ] = 0.0
    warmup: Annotated[
        float, Field(ge=0, le=1), Option("Share of the steps; default {default}.")
    ] = 0.1
    max_grad_norm: Annotated[
        float,
        Field(gt=0),
        Option(
            "Longer gradients are cut to it.", python_only="every stored result has the default"
        ),
    ] = 1.0
    patience: Annotated[
        int,
        Field(ge=0),
        Option(
            "Stop after so many epochs without a better validation score, or the same at a "
            "lower validation loss; default {default}; 0 never stops. The best epoch by the "
            "same rule is kept."
        ),
    ] = 2
    loss_weights: Annotated[
        tuple[float, ...] | None,
        Option("One factor an exit, such as {example}.", example="1,1,2", parse=numbers_of),
    ] = None
    loss: Annotated[
        Literal["joint", "depth"],
        Option(
            "joint: the sum over the exits, as in the paper (default). depth: weighed by "
            "each exit's layer, as PABEE does."
        ),
    ] = "joint"
    recipe: Annotated[
        Literal["joint", "two-stage", "own"],
        Option(
            "joint: all exits at once (default). two-stage: encoder and last exit, then the "
            "other exits on the frozen encoder, as DeeBERT does; --epochs for each stage. own: a "
            "model for each tier, the last one a plain fine-tuning, the others distilled from it."
        ),
    ] = "joint"
    exit_learning_rate: Annotated[
        float | None,
        Field(gt=0, lt=1),
        Option("Of the second stage of two-stage; default: --learning-rate."),
    ] = None
    record_train: Annotated[
        bool, Option("Keep the dynamics of the training rows too, for dimec map select.")
    ] = False
    exit0: Annotated[
        bool,
        Option(
            "Fit no exit 0, the classifier on the embedding layer alone that costs no layer.",
            spelling="--no-exit0",
        ),
    ] = True
    precision: Annotated[
        Literal["auto", "bf16", "fp32"],
        Option("bf16, fp32, or auto: bf16 where the processor computes in it."),
    ] = "auto"

    @model_validator(mode="after")
    def _one_weighting(self) -> Self:
        if self.loss == "depth" and self.loss_weights is not None:
            raise ValueError(
                f"{option('loss')} 'depth' has weights of its own; leave "
                f"{option('loss_weights')} out"
            )
        if self.recipe == "two-stage" and (self.loss, self.loss_weights) != ("joint", None):
            raise ValueError(
                f"the recipe 'two-stage' sums the exits' losses unweighted; leave {option('loss')} "
                f"and {option('loss_weights')} out"
            )
        if self.recipe == "own" and self.loss_weights is not None:
            raise ValueError(
                f"the recipe 'own' trains models with other exits each; leave "
                f"{option('loss_weights')} out"
            )
        if self.recipe != "two-stage" and self.exit_learning_rate is not None:
            raise ValueError(
                f"{option('exit_learning_rate')} is of the second stage; it needs the recipe "
                "'two-stage'"
            )
        return self
