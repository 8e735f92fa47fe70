"""A classifier that somebody else fine-tuned says here what it says there, or is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers as hf
from safetensors.torch import load_file, save_file
from torch import Tensor

from dimec.base.errors import ConfigError, CorruptArtefactError, MissingArtefactError
from dimec.base.progress import NoProgress
from dimec.bundle.graphs import MASK, Graph
from dimec.training import MultiExitClassifier
from dimec.training.export.cuts import cut_tier, save_graph
from dimec.training.export.graphs import trace_graph
from dimec.training.lesson import begin_as
from dimec.training.ready import READY_FILE, ReadyClassifier, load_model
from dimec.training.ready_labels import match_labels
from support.classifiers import make_classifier, save_classifier
from support.encoders import PADS, WIDTH, WORDS, save_encoder

KINDS = ("albert", "bert", "deberta-v2", "distilbert", "electra", "mpnet", "roberta")
TASK = ("negative", "neutral", "positive")
THEIRS = ("positive", "negative", "neutral")  # in another order than the task's
ORDER = [1, 2, 0]  # the task's classes among theirs


class Notes(NoProgress):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)


def take(folder: Path, labels: tuple[str, ...] = TASK, **options: Any) -> ReadyClassifier:
    settings: dict[str, Any] = {"max_tokens": 30, "embedding_pooling": "mean", **options}
    return ReadyClassifier.of(str(folder), labels=labels, **settings)


def batch(kind: str, rows: int = 4, tokens: int = 9) -> dict[str, Tensor]:
    """Random words; the first row is the longest, the others have padding."""
    rng = torch.Generator().manual_seed(tokens)
    lengths = torch.randint(1, tokens + 1, (rows,), generator=rng)
    lengths[0] = tokens
    ids = torch.randint(5, WORDS, (rows, tokens), generator=rng)
    mask = (torch.arange(tokens)[None] < lengths[:, None]).long()
    return {"input_ids": torch.where(mask > 0, ids, PADS.get(kind, 0)), MASK: mask}


def types_of(inputs: dict[str, Tensor]) -> Tensor:
    """The second half of each text as the second of a pair."""
    half = inputs[MASK].sum(dim=1, keepdim=True) // 2
    return (torch.arange(inputs[MASK].shape[1])[None] >= half).long() * inputs[MASK]


@torch.inference_mode()
def answers(model: Any, inputs: dict[str, Tensor]) -> np.ndarray[Any, Any]:
    """(B, C) probabilities of transformers' own model, in the task's order."""
    probabilities: Tensor = torch.softmax(model(**inputs).logits, -1)[:, ORDER]
    return probabilities.numpy()


def configure(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def rename(folder: Path, new: Callable[[str], str | None]) -> None:
    path = folder / "model.safetensors"
    weights = [(new(name), value) for name, value in load_file(path).items()]
    kept = {name: value for name, value in weights if name is not None}
    save_file(kept, path, metadata={"format": "pt"})


def refusal(folder: Path, labels: tuple[str, ...] = TASK) -> str:
    with pytest.raises(ConfigError) as caught:
        take(folder, labels)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 400 + len(str(folder))
    return message


@pytest.mark.parametrize("kind", KINDS)
def test_it_answers_as_it_did_and_is_saved_as_it_was(tmp_path: Path, kind: str) -> None:
    theirs = make_classifier(kind, THEIRS)
    theirs.save_pretrained(tmp_path / "theirs")
    notes = Notes()
    taken = take(tmp_path / "theirs", progress=notes)
    taken.save_pretrained(tmp_path / "model")
    again = load_model(tmp_path / "model")
    assert isinstance(again, ReadyClassifier)
    assert again.config.order == taken.config.order == tuple(ORDER)
    inputs = batch(kind)
    wanted = answers(theirs, inputs)
    assert np.ptp(wanted, axis=1).min() > 0.01  # an order that is wrong would show
    with torch.inference_mode():
        hidden = theirs(**inputs, output_hidden_states=True).hidden_states[0]
        models: list[ReadyClassifier] = [taken, again]
        for model in models:
            assert not model.training
            assert (model.exits, model.label_names) == ((2,), TASK)
            assert (model.config.num_labels, model.config.tiers) == (3, [2])
            assert model.encoder.get_input_embeddings().num_embeddings == WORDS
            output = model(**inputs, exits={2})
            assert output.logits.shape == (4, 1, 3)
            said = torch.softmax(output.logits[:, 0], -1).numpy()
            np.testing.assert_allclose(said, wanted, atol=1e-6)
            for row, size in enumerate(inputs[MASK].sum(dim=1).tolist()):
                mean = hidden[row, :size].mean(dim=0)
                torch.testing.assert_close(output.embedding[row], mean, atol=1e-6, rtol=0)
    # What lies there is still a folder of transformers, which says the same.
    plain = hf.AutoModelForSequenceClassification.from_pretrained(tmp_path / "model").eval()
    np.testing.assert_array_equal(answers(plain, inputs), wanted)
    assert notes.lines == []


@pytest.mark.parametrize("kind", ["bert", "deberta-v2", "distilbert"])
def test_its_graph_answers_as_it_does(tmp_path: Path, kind: str) -> None:
    theirs = make_classifier(kind, THEIRS)
    theirs.save_pretrained(tmp_path / "theirs")
    take(tmp_path / "theirs").save_pretrained(tmp_path / "model")
    names = ["input_ids", MASK, *(["token_type_ids"] if kind == "bert" else [])]
    traced = load_model(tmp_path / "model", attn_implementation="eager")
    graph = cut_tier(trace_graph(traced, names, 30), names, 2)
    save_graph(graph, tmp_path / "graph.onnx")
    run = Graph(tmp_path / "graph.onnx")
    assert run.inputs == tuple(names)
    for rows, tokens in [(1, 1), (3, 30), (17, 7)]:
        inputs = batch(kind, rows, tokens)
        if kind == "bert":
            inputs["token_type_ids"] = types_of(inputs)
        (got,) = run(**{name: values.numpy() for name, values in inputs.items()})
        np.testing.assert_allclose(got, answers(theirs, inputs), atol=2e-6)


def test_token_types_go_to_those_who_take_them(tmp_path: Path) -> None:
    inputs = batch("bert")
    types = types_of(inputs)
    with torch.inference_mode():
        told = take(save_classifier(tmp_path / "bert", "bert", THEIRS))
        assert not torch.equal(told(**inputs, token_type_ids=types).logits, told(**inputs).logits)
        plain = take(save_classifier(tmp_path / "distilbert", "distilbert", THEIRS))
        assert torch.equal(plain(**inputs, token_type_ids=types).logits, plain(**inputs).logits)


def test_the_embedding_may_be_the_maximum(tmp_path: Path) -> None:
    theirs, inputs = make_classifier("bert", TASK), batch("bert")
    theirs.save_pretrained(tmp_path)
    with torch.inference_mode():
        got = take(tmp_path, embedding_pooling="max")(**inputs).embedding
        hidden = theirs(**inputs, output_hidden_states=True).hidden_states[0]
    for row, size in enumerate(inputs[MASK].sum(dim=1).tolist()):
        assert torch.equal(got[row], hidden[row, :size].amax(dim=0))


def test_a_model_that_was_trained_here_is_loaded_as_such(tmp_path: Path) -> None:
    save_encoder(tmp_path / "encoder", "bert")
    model = MultiExitClassifier.from_backbone(tmp_path / "encoder", labels=TASK, exits=(1, 2))
    model.save_pretrained(tmp_path / "model")
    loaded = load_model(tmp_path / "model")
    assert isinstance(loaded, MultiExitClassifier)
    assert loaded.exits == (1, 2)


def test_a_student_begins_as_its_lower_layers(tmp_path: Path) -> None:
    theirs = make_classifier("bert", TASK, layers=2)
    theirs.save_pretrained(tmp_path / "theirs")
    take(tmp_path / "theirs").save_pretrained(tmp_path / "model")
    save_encoder(tmp_path / "encoder", "bert")
    student = MultiExitClassifier.from_backbone(
        tmp_path / "encoder", labels=TASK, exits=(1,), tiers=(1,), layers=1
    )
    begin_as(student, tmp_path / "model")
    taught = theirs.bert.state_dict()
    for name, values in student.encoder.state_dict().items():
        assert torch.equal(values, taught[name]), name


class TestLabels:
    @pytest.mark.parametrize(
        ("found", "wanted", "order", "said"),
        [
            (["b", "a"], ["a", "b"], (1, 0), None),
            (["0", "1", "2"], ["0", "1", "2"], (0, 1, 2), None),
            (["Very Good", "BAD"], ["bad", "verygood"], (1, 0), "without regard to case"),
            (["LABEL_0", "LABEL_1"], ["0", "1"], (0, 1), "taken in order"),
            (["LABEL_0", "LABEL_1", "LABEL_2"], ["1", "2", "3"], (0, 1, 2), "taken in order"),
            (["LABEL_0", "LABEL_1"], ["LABEL_1", "LABEL_0"], (1, 0), None),
            # Exact names come first, even where others are alike but for case.
            (["A", "a"], ["a", "A"], (1, 0), None),
        ],
    )
    def test_those_that_mean_the_same(
        self, found: list[str], wanted: list[str], order: tuple[int, ...], said: str | None
    ) -> None:
        notes = Notes()
        assert match_labels(found, wanted, "some/model", notes) == order
        assert len(notes.lines) == (said is not None)
        assert (said or "") in "".join(notes.lines)

    @pytest.mark.parametrize(
        ("found", "wanted", "what"),
        [
            (["LABEL_0", "LABEL_1"], ["negative", "positive"], "set id2label"),
            (["LABEL_0", "LABEL_1"], ["1", "3"], "set id2label"),
            (["LABEL_0", "LABEL_1", "LABEL_2"], ["0", "1"], "take a classifier of this task"),
            (["a", "b", "c"], ["a", "b"], "take a classifier of this task"),
            (["a", "b"], ["a", "c"], "take a classifier of this task"),
            (["A", "a"], ["a", "B"], "take a classifier of this task"),
        ],
    )
    def test_others_are_refused_with_both_lists(
        self, found: list[str], wanted: list[str], what: str
    ) -> None:
        with pytest.raises(ConfigError, match=what) as caught:
            match_labels(found, wanted, "some/model", NoProgress())
        message = str(caught.value)
        assert f"expected {len(wanted)} ({', '.join(wanted)})" in message
        assert f"got {len(found)} ({', '.join(found)})" in message

    def test_many_are_counted(self) -> None:
        found, wanted = [f"a{n}" for n in range(80)], [f"b{n}" for n in range(80)]
        with pytest.raises(ConfigError, match="and 74 more") as caught:
            match_labels(found, wanted, "some/model", NoProgress())
        assert len(str(caught.value)) < 400


class TestWhatIsRefused:
    def test_a_head_that_was_never_trained(self, tmp_path: Path) -> None:
        """transformers gives it random numbers, and warns."""
        save_encoder(tmp_path, "bert")
        configure(tmp_path, id2label=dict(enumerate(TASK)))
        message = refusal(tmp_path)
        assert "2 missing (classifier.bias, classifier.weight)" in message
        assert "saved with its head" in message

    def test_a_pooler_that_it_reads_and_lacks(self, tmp_path: Path) -> None:
        save_classifier(tmp_path, "bert", TASK)
        rename(tmp_path, lambda name: None if "pooler" in name else name)
        assert "2 missing (bert.pooler.dense.bias" in refusal(tmp_path)

    def test_weights_of_another_shape_or_of_more_layers(self, tmp_path: Path) -> None:
        save_classifier(tmp_path / "more", "bert", TASK)
        configure(tmp_path / "more", num_hidden_layers=1)
        message = refusal(tmp_path / "more")
        assert "16 too many" in message
        assert "layer.1.attention" in message
        save_classifier(tmp_path / "other", "bert", (*TASK, "mixed"))
        configure(tmp_path / "other", id2label=dict(enumerate(TASK)))
        assert "of another shape" in refusal(tmp_path / "other")

    @pytest.mark.parametrize("problem", ["regression", "multi_label_classification"])
    def test_what_does_not_choose_one_label(self, tmp_path: Path, problem: str) -> None:
        save_classifier(tmp_path, "bert", TASK, problem_type=problem)
        assert f"one of several labels, got {problem}" in refusal(tmp_path)

    def test_a_single_output(self, tmp_path: Path) -> None:
        save_classifier(tmp_path, "bert", ("score",))
        assert "a single output, as of a regression" in refusal(tmp_path)

    def test_names_that_leave_an_output_out(self, tmp_path: Path) -> None:
        save_classifier(tmp_path, "bert", TASK)
        configure(tmp_path, id2label={"0": "negative", "1": "neutral", "3": "positive"})
        assert "should name its outputs from 0 on" in refusal(tmp_path)

    def test_an_encoder_with_a_decoder(self, tmp_path: Path) -> None:
        save_classifier(tmp_path, "t5", TASK)
        assert "expected a classifier on an encoder, got t5" in refusal(tmp_path)

    def test_one_that_cannot_run_a_batch(self, tmp_path: Path) -> None:
        """GPT-2's reads the last word, and without a padding token it cannot tell which it is."""
        save_classifier(tmp_path, "gpt2", TASK)
        assert "cannot be run on a batch of texts" in refusal(tmp_path)

    def test_code_of_its_own_is_never_run(self, tmp_path: Path) -> None:
        save_classifier(tmp_path, "bert", TASK)
        mark = tmp_path / "was_run"
        (tmp_path / "own.py").write_text(f"open({str(mark)!r}, 'w')\n")
        classes = {"AutoConfig": "own.C", "AutoModelForSequenceClassification": "own.M"}
        configure(tmp_path, model_type="their_own", auto_map=classes)
        assert "cannot load the classifier" in refusal(tmp_path)
        assert not mark.exists()

    def test_nothing_there(self, tmp_path: Path) -> None:
        assert "no config.json" in refusal(tmp_path)


def test_a_pooler_that_it_does_not_read_may_be_there(tmp_path: Path) -> None:
    """As in many files of RoBERTa's, from a time when its classifier had one."""
    theirs = make_classifier("roberta", TASK)
    theirs.save_pretrained(tmp_path)
    path = tmp_path / "model.safetensors"
    weights = {**load_file(path), "roberta.pooler.dense.weight": torch.ones(WIDTH, WIDTH)}
    save_file(weights, path, metadata={"format": "pt"})
    inputs = batch("roberta")
    with torch.inference_mode():
        assert torch.equal(take(tmp_path)(**inputs).logits[:, 0], theirs(**inputs).logits)


class TestWhatIsDamaged:
    @pytest.fixture
    def saved(self, tmp_path: Path) -> Path:
        save_classifier(tmp_path / "theirs", "bert", THEIRS)
        take(tmp_path / "theirs").save_pretrained(tmp_path / "model")
        return tmp_path / "model"

    def test_our_file_is_gone(self, saved: Path) -> None:
        (saved / READY_FILE).unlink()
        with pytest.raises(MissingArtefactError, match="train again with --overwrite"):
            load_model(saved)

    @pytest.mark.parametrize(
        "change", [{"version": 9}, {"order": [0, 0, 1]}, {"order": [0, 1]}, {"max_tokens": "many"}]
    )
    def test_our_file_says_something_else(self, saved: Path, change: dict[str, Any]) -> None:
        path = saved / READY_FILE
        path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
        with pytest.raises(CorruptArtefactError, match="does not hold what training writes"):
            load_model(saved)
