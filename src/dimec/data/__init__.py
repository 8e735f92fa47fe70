"""Labelled texts: tasks and their sources, and the splits made of them."""

from dimec.data.dataset import Dataset, Splits
from dimec.data.fetching import packaged_backbone
from dimec.data.splits import split_dataset
from dimec.data.tasks import load_task

__all__ = ["Dataset", "Splits", "load_task", "packaged_backbone", "split_dataset"]
