"""Under what terms the texts of the named tasks are published."""

from __future__ import annotations

_GLUE = {
    "sst2": "none stated (Stanford Sentiment Treebank, Socher et al. 2013)",
    "cola": "none stated (CoLA, Warstadt et al. 2019; sentences of published linguistics)",
    "mrpc": "Microsoft Research's data licence (MRPC, Dolan & Brockett 2005)",
    "qnli": "CC BY-SA 4.0 (SQuAD, Rajpurkar et al. 2016, recast by GLUE)",
    "qqp": "Quora's terms of service, for other than commercial use (Quora Question Pairs, 2017)",
    "mnli": "mostly the OANC's, parts CC BY 3.0 and CC BY-SA 3.0 (MultiNLI, Williams et al. 2018)",
    "rte": "none stated (RTE 1 to 3 and 5, recast by GLUE)",
}
_VADER = "MIT (vaderSentiment, Hutto & Gilbert 2014)"
OWN = "unknown: rows of one's own"


def licence_of(task: str) -> str:
    """The terms of a task's texts in words, as far as their authors state them.

    Args:
        task: such as ``"glue/sst2"``; of any that is not named only its owner knows.

    Example:
        >>> licence_of("vader/movies")
        'MIT (vaderSentiment, Hutto & Gilbert 2014)'
        >>> licence_of("csv:reviews.csv")
        "unknown: rows of one's own"
    """
    family, _, name = task.partition("/")
    if family == "vader":
        return _VADER
    return _GLUE.get(name, OWN) if family == "glue" else OWN
