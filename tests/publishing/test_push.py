"""Pushes with the real client to a small hub: what goes, what stays, and that it works there."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from dimec.base.errors import ConfigError, CorruptArtefactError, HubError, MismatchError
from dimec.base.storage import read_json
from dimec.bundle.manifest import GOLDEN
from dimec.evaluation.ledger import Ledger
from dimec.hub import HubName, pull
from dimec.hub.listing import CARD, LISTING
from dimec.publishing import CardOptions, prepared, push
from dimec.publishing.card import FIGURE, escaped, table_of
from dimec.runs.run import Run
from dimec.traces.collection import CHECKOUT, Collection
from dimec.training.finish import model_fingerprint
from support.hub import FakeHub
from support.tiny import Said

NAME = HubName("me/mine")
REPO = "models/me/mine"
LARGE_FILE = "model/model.safetensors"


def pushed(folder: Path, name: HubName = NAME, **options: object) -> str:
    with prepared(folder, name) as ready:
        return push(ready, **options).commit  # type: ignore[arg-type]


def holding(files: dict[str, bytes], words: bytes) -> list[str]:
    return [name for name, content in files.items() if words in content]


def a_text(reviews: Path) -> bytes:
    """The beginning of a review."""
    return reviews.read_bytes().splitlines()[1].partition(b",")[0].strip(b'"')[:30]


def test_a_run_goes_without_texts_and_folders_and_works_where_it_is_pulled(
    hub: FakeHub, finished_run: Path, tiny_reviews: Path, tmp_path: Path
) -> None:
    pushed(finished_run)
    files = hub.files(REPO)
    assert {LARGE_FILE, "config.toml", "policy.json", FIGURE, CARD, LISTING} <= files.keys()
    for words in (str(tiny_reviews.parent), str(tiny_reviews.parent.parent), "/tmp/"):
        assert holding(files, words.encode()) == []
    assert b"parity.safetensors" in files[LISTING]
    text = b"the film is"
    assert holding({"": (finished_run / "parity.safetensors").read_bytes()}, text) == [""]
    assert holding({n: c for n, c in files.items() if n != LARGE_FILE}, text) == []

    out = tmp_path / "runs" / "pulled"
    pull(NAME, out)
    run, before = Run(out), Run(finished_run)
    assert run.training()["model"] == model_fingerprint(out / "model")
    assert run.settings().data.task == "csv:reviews.csv"
    ledger = run.evaluate(draws=20, curves=False)
    assert ledger.row("dimec-fixed").cost == before_cost(before)
    run.fit(lam=0.05)


def before_cost(run: Run) -> float:
    rows = read_json(run.report_path / "ledger.json", "-")
    return float(next(row["cost"] for row in rows if row["policy"] == "dimec-fixed"))


def test_tiers_with_a_model_each_keep_together(hub: FakeHub, own_run: Path, tmp_path: Path) -> None:
    pushed(own_run)
    assert holding(hub.files(REPO), b"/tmp/") == []
    out = tmp_path / "pulled"
    pull(NAME, out)
    run = Run(out)
    assert run.trace("test").model == run.training()["model"]
    for tier in sorted((out / "tiers").iterdir()):
        record = read_json(tier / "training.json", "-")
        assert record["model"] == model_fingerprint(tier / "model")
        assert record["model"] in run.trace("test").models.values()


def test_texts_go_where_they_are_asked_for(
    hub: FakeHub, finished_run: Path, tiny_bundle: Path
) -> None:
    with prepared(finished_run, NAME, texts=True) as ready:
        assert "parity.safetensors" in ready.files
    with prepared(tiny_bundle, NAME, texts=True) as ready:
        assert GOLDEN in ready.files
        push(ready)
    with prepared(tiny_bundle, NAME) as ready:
        assert GOLDEN not in ready.files
        assert ready.listing.left_out.keys() == {GOLDEN}
        push(ready)
    assert GOLDEN not in hub.files(REPO), "what is no more is removed"


def test_a_second_push_sends_no_large_file_again_and_leaves_what_others_added(
    hub: FakeHub, finished_run: Path
) -> None:
    first = pushed(finished_run)
    hub.change(REPO, {"notes.txt": b"mine"})
    hub.asked.clear()
    second = pushed(finished_run, message="again")
    assert [path for way, path, _ in hub.asked if way == "PUT"] == []
    assert hub.files(REPO)["notes.txt"] == b"mine"
    assert second != first
    assert hub.repos[REPO].messages[-1] == "again"


def test_a_push_that_was_broken_off_goes_on(hub: FakeHub, finished_run: Path) -> None:
    hub.fail_commit = True
    with pytest.raises(HubError, match="answers 400"):
        pushed(finished_run)
    assert hub.files(REPO) == {}, "all of it or nothing"
    hub.asked.clear()
    pushed(finished_run)
    assert [path for way, path, _ in hub.asked if way == "PUT"] == []
    assert LARGE_FILE in hub.files(REPO)


def test_private_is_private_and_never_a_public_repository(
    hub: FakeHub, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pushed(tiny_bundle, private=True)
    assert hub.repos[REPO].private
    pushed(tiny_bundle)
    assert hub.repos[REPO].private, "as it was"
    other = HubName("me/public")
    commit = pushed(tiny_bundle, other)
    with pytest.raises(HubError, match="public, so nothing was pushed"):
        pushed(tiny_bundle, other, private=True)
    assert hub.repos["models/me/public"].branches["main"] == commit
    monkeypatch.setenv("HF_TOKEN", "hf_stranger")
    with pytest.raises(HubError):
        pushed(tiny_bundle, other)


def test_a_branch_is_a_revision_of_its_own(
    hub: FakeHub, tiny_bundle: Path, finished_run: Path, tmp_path: Path
) -> None:
    pushed(tiny_bundle)
    commit = pushed(tiny_bundle, NAME.at("v2"), message="two")
    assert hub.repos[REPO].branches["v2"] == commit != hub.repos[REPO].branches["main"]
    assert pull(NAME.at("v2"), tmp_path / "two").commit == commit
    with pytest.raises(ConfigError, match="to a branch"), prepared(tiny_bundle, NAME.at(commit)):
        pass


def test_traces_are_a_data_set(hub: FakeHub, tmp_path: Path) -> None:
    source = CHECKOUT / "mrpc" / "minilm-joint" / "0"
    pushed(source)
    assert "datasets/me/mine" in hub.repos
    out = tmp_path / "traces"
    pulled = pull(HubName("me/mine", dataset=True), out)
    assert pulled.holds == "traces"
    assert (out / "test.safetensors").read_bytes() == (source / "test.safetensors").read_bytes()
    card = hub.files("datasets/me/mine")[CARD].decode()
    assert yaml.safe_load(card.split("---")[1])["task_categories"] == ["text-classification"]


def test_a_collection_is_one_where_it_is_pulled(hub: FakeHub, tmp_path: Path) -> None:
    place = tmp_path / "traces" / "mrpc" / "minilm-joint" / "0"
    shutil.copytree(CHECKOUT / "mrpc" / "minilm-joint" / "0", place)
    pushed(tmp_path / "traces")
    pull(HubName("me/mine", dataset=True), tmp_path / "out")
    collection = Collection.open(tmp_path / "out")
    assert collection.names() == ("mrpc/minilm-joint/0",)
    assert len(collection.entry("mrpc/minilm-joint/0").trace("test")) > 100


def test_the_card_says_what_the_ledger_says(finished_run: Path, tiny_bundle: Path) -> None:
    options = CardOptions("apache-2.0", ("me/data",), finished_run)
    with prepared(tiny_bundle, NAME, card=options) as ready:
        text = ready.card.text
        assert FIGURE in ready.files
    front = yaml.safe_load(text.split("---")[1])
    assert front["license"] == "apache-2.0"
    assert front["library_name"] == "dimec"
    assert front["datasets"] == ["me/data"]
    assert front["pipeline_tag"] == "text-classification"
    for row in read_json(finished_run / "report" / "ledger.json", "-"):
        line = next(one for one in text.splitlines() if one.startswith(f"| {row['policy']} "))
        assert f"| {100 * row['accuracy']:.1f} |" in line
        assert f"| {row['cost']:.2f} |" in line
    assert "| policy | accuracy, % | drop, points |" in text
    assert 'Mobile.open("hub:me/mine")' in text
    assert "| cloud | 4 | 6 |" in text
    assert "](accuracy_cost.png)" in text


def test_another_metric_than_accuracy_has_a_column(finished_run: Path) -> None:
    ledger = Ledger.load(finished_run / "report")
    row = replace(ledger.rows[0], policy="one", accuracy=0.5, metric=0.4321)
    text = table_of(replace(ledger, rows=(row,), metric_name="f1"), drawn=False)
    assert "| policy | accuracy, % | F1 | drop, points |" in text
    assert "| one | 50.0 | 0.432 |" in text


def test_a_card_of_another_run_is_refused(
    tiny_bundle: Path, finished_run: Path, own_run: Path, run_copy: Callable[..., Path]
) -> None:
    run = run_copy()
    record = read_json(run / "training.json", "-")
    (run / "training.json").write_text(json.dumps({**record, "model": "0" * 64}))
    with (
        pytest.raises(MismatchError, match="another model"),
        prepared(tiny_bundle, NAME, card=CardOptions(run=run)),
    ):
        pass
    with (
        pytest.raises(ConfigError, match="of a bundle"),
        prepared(finished_run, NAME, card=CardOptions(run=run)),
    ):
        pass


def test_names_of_others_are_no_markdown() -> None:
    assert escaped("a|b\n# [x](y) <img>") == "a\\|b \\# \\[x\\](y) \\<img\\>"


def test_what_cannot_be_pushed_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="none of what can be pushed"), prepared(tmp_path, NAME):
        pass


def test_links_are_not_followed(run_copy: Callable[..., Path], tmp_path: Path) -> None:
    secret = tmp_path / "secret.json"
    run = run_copy()
    (run / "fit.json").unlink()
    (run / "fit.json").symlink_to(secret)
    # Nor is one whose content would be written anew without its path.
    for content in ('{"a": 1}', '{"a": "/home/me/b"}'):
        secret.write_text(content)
        with pytest.raises(CorruptArtefactError, match="link"), prepared(run, NAME):
            pass


def test_links_in_traces_are_not_followed(tmp_path: Path) -> None:
    folder = shutil.copytree(CHECKOUT / "mrpc" / "minilm-joint" / "0", tmp_path / "traces")
    card = read_json(folder / "card.json", "-")
    (folder / "card.json").unlink()
    (tmp_path / "card.json").write_text(json.dumps({**card, "backbone": "/home/me/models/small"}))
    (folder / "card.json").symlink_to(tmp_path / "card.json")
    with pytest.raises(CorruptArtefactError, match="link"), prepared(folder, NAME):
        pass


def test_a_run_with_a_damaged_file_is_refused(run_copy: Callable[..., Path]) -> None:
    run = run_copy()
    (run / LARGE_FILE).write_bytes(b"not whole")
    with pytest.raises(CorruptArtefactError, match="cannot be read"), prepared(run, NAME):
        pass


def test_the_commands(
    hub: FakeHub, cli: Callable[..., Said], tiny_bundle: Path, tmp_path: Path
) -> None:
    shown = cli("push", tiny_bundle, "me/mine", "--dry-run")
    assert shown.code == 0, shown
    assert "mobile/embed.onnx" in shown.out
    assert "left out: golden.json" in shown.out
    assert "library_name: dimec" in shown.out
    assert hub.asked == [], "nobody is asked"
    token = tmp_path / "token"
    token.write_text("hf_owner\n")
    said = cli("push", tiny_bundle, "me/mine", "--private", "--token-file", token, "--json")
    commit = json.loads(said.out)["commit"]
    assert json.loads(said.out)["private"] is True
    out = tmp_path / "out"
    said = cli("pull", "me/mine@main", out)
    assert said.code == 0, said
    assert commit in said.out
    said = cli("pull", f"me/mine@{commit}", out, "--json")
    assert json.loads(said.out)["there"] is True
    assert "hf_" not in "".join(path.read_text("latin-1") for path in out.glob("*.json"))
    said = cli("inspect", f"hub:me/mine/edge@{commit}", "--json")
    assert json.loads(said.out)["tiers"][0]["tier"] == "edge"
    assert "ORG/NAME" in cli("pull", "nothing", tmp_path / "x").complaint()
