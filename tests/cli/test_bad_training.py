"""Bad input to the command line: one clear line, exit code 2, and nothing half-written."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dimec.runs.run import Run
from support.tiny import FAST, Said, reviews, write_reviews

Cli = Callable[..., Said]
SOME = reviews(40)


@pytest.fixture
def refused(tmp_path: Path, tiny_backbone: Path, cli: Cli) -> Callable[..., str]:
    """``refused("csv:FILE", options…)``: the complaint of a training that leaves nothing."""

    def train(task: str, *options: object) -> str:
        out = tmp_path / "deep" / "run"
        backbone = () if "--backbone" in options else ("--backbone", tiny_backbone)
        words = ["--task", task, *backbone, *FAST, "--epochs", "2", *options]
        line = cli("train", *words, "--out", out).complaint()
        assert not out.parent.exists()
        return line

    return train


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return write_reviews(tmp_path / "reviews.csv", SOME)


class TestData:
    def test_a_missing_file(self, tmp_path: Path, refused: Callable[..., str]) -> None:
        assert str(tmp_path / "none.csv") in refused(f"csv:{tmp_path / 'none.csv'}")

    def test_a_missing_column(self, table: Path, refused: Callable[..., str]) -> None:
        line = refused(f"csv:{table}", "--text-column", "review")
        assert "review" in line
        assert "'text', 'label'" in line
        assert "mood" in refused(f"csv:{table}", "--label-column", "mood")

    def test_an_unknown_label_in_a_split(self, tmp_path: Path, refused: Callable[..., str]) -> None:
        rows = [
            (text, label, ("train", "test")[i % 5 == 0]) for i, (text, label) in enumerate(SOME)
        ]
        rows += [("neither good nor bad", "neutral", "test"), ("so-so", "neutral", "validation")]
        path = write_reviews(tmp_path / "split.csv", rows, ("text", "label", "split"))
        line = refused(f"csv:{path}", "--split-column", "split", "--predefined-splits")
        assert "neutral" in line

    @pytest.mark.parametrize(
        ("name", "content", "place"),
        [
            ("x.csv", "text,label\ngood,1\nbad,0,what\n", "line 3"),
            ("x.csv", 'text,label\ngood,1\n"bad,0\n', "line 3"),
            ("x.jsonl", '{"text": "good", "label": 1}\n{"text": "bad", \n', "line 2"),
            ("x.jsonl", '{"text": "good", "label": 1}\n{"text": 7, "label": 0}\n', "line 2"),
        ],
    )
    def test_a_row_that_cannot_be_parsed_is_named_by_its_line(
        self, tmp_path: Path, refused: Callable[..., str], name: str, content: str, place: str
    ) -> None:
        path = tmp_path / name
        path.write_text(content)
        line = refused(f"{path.suffix[1:]}:{path}")
        assert str(path) in line
        assert place in line

    def test_one_class_only(self, tmp_path: Path, refused: Callable[..., str]) -> None:
        path = write_reviews(tmp_path / "x.csv", [(text, "positive") for text, _ in SOME])
        assert "one class only" in refused(f"csv:{path}")

    def test_an_unknown_task(self, refused: Callable[..., str]) -> None:
        assert "did you mean 'vader/movies'" in refused("vader/movie")

    def test_an_empty_text_is_valid(self, tmp_path: Path, tiny_backbone: Path, cli: Cli) -> None:
        rows = [("" if i % 4 < 2 else text, label) for i, (text, label) in enumerate(SOME)]
        path = write_reviews(tmp_path / "x.csv", rows)
        out = tmp_path / "run"
        words = ["--task", f"csv:{path}", "--backbone", tiny_backbone, *FAST, "--epochs", "2"]
        assert cli("train", *words, "--out", out).code == 0
        for split in ("validation", "test"):
            trace = Run(out).trace(split)
            assert 2 in trace.lengths  # the two special tokens and nothing between them
            assert np.isfinite(trace.embeddings).all()
        for step in ("fit", "evaluate"):
            assert cli(step, out).code == 0


class TestSettings:
    @pytest.mark.parametrize(
        ("options", "word"),
        [
            (["--epochs", "1"], "--epochs: "),
            (["--exits", "2,1,4"], "from shallow to deep"),
            (["--exits", "1,2,9"], "layers 1 to 4"),
            (["--exits", "1,2,3"], "last layer, 4"),
            (["--exits", "1,two,4"], "--exits: expected layers"),
            (["--exits", "1,4"], "--tiers"),
            (["--exits", "all", "--tiers", "1,2,9"], "layer 9"),
            (["--precision", "fp64"], "--precision: "),
            (["--head-pooling", "max"], "--head-pooling: "),
            (["--loss-weights", "1,2"], "expected 3 loss weights"),
            (["--loss-weights", "1,x"], "--loss-weights: expected numbers"),
            (["--learning-rate", "-1"], "--learning-rate: "),
            (["--learning-rate", "nan"], "--learning-rate: "),
            (["--batch-size", "0"], "--batch-size: "),
            (["--max-train-rows", "1"], "--max-train-rows"),
            (["--metric", "bleu"], "metric is 'bleu'"),
            (["--seed", "-1"], "seed"),
            (["--max-tokens", "4"], "--max-tokens: "),
            (["--predefined-splits"], "--predefined-splits needs the column"),
            (["--delimiter", "::"], "--delimiter: expected one character"),
            (["--encoding", "klingon"], "--encoding: unknown encoding 'klingon'"),
            (["--encoding", "utf-16"], "--encoding"),
            (["--text-column", "review"], "name another one with --text-column"),
            (["--split-column", "part"], "name another one with --split-column"),
            (["--no-header"], "with --text-column: the file has 'column-1', 'column-2'"),
            (["--train-rows", "/dev/zero"], "/dev/zero is no regular file but a pipe or a device"),
            (["--data-dir", "somewhere"], "--data-dir does not go with"),
        ],
    )
    def test_a_value_that_does_not_fit_is_named(
        self, table: Path, refused: Callable[..., str], options: list[str], word: str
    ) -> None:
        assert word in refused(f"csv:{table}", *options)

    def test_texts_longer_than_the_encoder_takes(
        self, tmp_path: Path, refused: Callable[..., str]
    ) -> None:
        rows = [(f"{text} the film" * 40, label) for text, label in SOME]
        path = write_reviews(tmp_path / "x.csv", rows)
        assert "use --max-tokens 64" in refused(f"csv:{path}", "--max-tokens", "100")

    def test_a_backbone_that_is_none(
        self, tmp_path: Path, table: Path, refused: Callable[..., str]
    ) -> None:
        assert "cannot load the backbone" in refused(f"csv:{table}", "--backbone", tmp_path)

    def test_a_backbone_without_a_tokenizer(
        self, tmp_path: Path, tiny_backbone: Path, table: Path, refused: Callable[..., str]
    ) -> None:
        bare = tmp_path / "bare"
        bare.mkdir()
        for name in ("config.json", "model.safetensors"):
            shutil.copy(tiny_backbone / name, bare)
        assert "no tokenizer" in refused(f"csv:{table}", "--backbone", bare)

    def test_a_tokenizer_of_another_encoder(
        self, tmp_path: Path, tiny_backbone: Path, table: Path, refused: Callable[..., str]
    ) -> None:
        from transformers import BertConfig, BertModel

        mixed = Path(shutil.copytree(tiny_backbone, tmp_path / "mixed"))
        shape = {"hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 2}
        BertModel(BertConfig(**shape, intermediate_size=32, vocab_size=20)).save_pretrained(mixed)
        assert "do not belong together" in refused(f"csv:{table}", "--backbone", mixed)

    def test_no_task(self, tmp_path: Path, cli: Cli) -> None:
        assert "--task vader/movies" in cli("train", "--out", tmp_path / "run").complaint()

    @pytest.mark.parametrize(
        "words", [["train", "--batch-size", "few"], ["fit"], ["fly"], ["evaluate", ".", "--draw"]]
    )
    def test_what_cannot_be_parsed_shows_how_it_is_used(self, cli: Cli, words: list[str]) -> None:
        said = cli(*words)
        assert said.code == 2
        assert "Usage:" in said.err
        assert "Traceback" not in said.err

    def test_a_diverged_training_is_told(
        self, tmp_path: Path, tiny_backbone: Path, table: Path, cli: Cli
    ) -> None:
        from safetensors.numpy import load_file, save_file

        broken = Path(shutil.copytree(tiny_backbone, tmp_path / "broken"))
        weights = load_file(broken / "model.safetensors")
        weights["encoder.layer.2.output.dense.bias"][:] = np.nan
        save_file(weights, broken / "model.safetensors", metadata={"format": "pt"})
        out = tmp_path / "run"
        words = ["--task", f"csv:{table}", "--backbone", broken, *FAST, "--out", out]
        line = cli("train", *words).complaint()
        assert "infinite or NaN in epoch 1" in line
        assert not (out / "training.json").exists()
        assert not (out / "checkpoint").exists()
