"""What a mobile keeps in a real browser: through reloads, kills, other tabs and a full disk."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import pytest
from playwright.sync_api import Browser, BrowserType, Page

from dimec.mobile import Mobile
from support.browser import blank_site, module_page, served
from support.tiers import balanced, texts

# Of a browser that is killed; a test ends long before it is over.
_PATIENCE = 60.0
_OPEN = """async (options) => {
  window.mobile = await dimec.openInWorker(new URL("bundle/", location.href).href, options);
  return mobile.info();
}"""
_FAILED_OPEN = """(options) => dimec.openInWorker("bundle/", options).then(
  () => null, (error) => [error.name, error.message])"""
_STREAM = """async (inputs) => {
  const found = [];
  for await (const answer of mobile.predictMany(inputs, { workers: 2 })) found.push(answer);
  return found;
}"""
# Goes on by itself; what has been given is to be seen from outside.
# Takes so many answers, and then no more: the stream goes on as far ahead as it may.
_BEGIN = """([inputs, most]) => {
  window.given = [];
  (async () => {
    for await (const answer of mobile.predictMany(inputs)) {
      if (given.push(answer) === most) await new Promise(() => {});
    }
  })();
}"""
# Answers until one is recorded, or is not.
_UNTIL = """async ([recorded, name]) => {
  for (let k = 0; k < 20000; k += 1) {
    const answer = await mobile.predict("a film", { id: `${name} ${k}` });
    if (answer.recorded === recorded) return;
  }
  throw new Error("it never came to that");
}"""
# Two states with the same audited answers and labels, in either store.
_AUDITS = """async () => {
  const at = (name) => import(new URL(`mobile/state/${name}.js`, location.href));
  const [{ IndexedStore }, { MemoryStore }, { State }, { Audited }] =
    await Promise.all(["indexed_store", "store", "state", "watch"].map(at));
  const tiers = ["mobile", "cloud"];
  const watched = { different: 0.3, drop: 0.1, alpha: 0.05 };
  const shown = (state) => ({ sums: state.sums(), watch: state.watch.stored() });
  const run = async (store) => {
    const state = new State(store, "x", tiers, null, watched);
    await state.open();
    const states = [];
    for (let k = 0; k < 40; k += 1) {
      const all = Array.from({ length: 4 }, (_, j) => {
        const audited = new Audited(state.watch.session, 1);
        if ((k + j) % 7 === 0) audited.settle(null, 0);
        else audited.settle((k * 4 + j) % 3 ? "a" : "b", 6);
        const prediction = {
          id: `${k} ${j}`, label: "b", route: "mobile", answeredBy: "mobile", cost: 3,
          milliseconds: 1, path: [{ tier: "mobile", start: 0, stop: 2, payload: null }],
          fallbackReason: null, safe: false, calls: [],
        };
        return { prediction, lesson: null, audited };
      });
      for (const entry of all.reverse()) await state.write([entry]);
      if (k % 5 === 0) all[0].audited.giveUp();
      for (const { prediction } of all) {
        await state.label(prediction.id, k % 3 ? "a" : "b").catch(() => null);
      }
      states.push(shown(state));
    }
    await state.close();
    return states;
  };
  const stored = await run(new IndexedStore("audits"));
  const state = new State(new IndexedStore("audits"), "x", tiers, null, watched);
  await state.open();
  const again = shown(state);
  await state.close();
  return { stored, memory: await run(new MemoryStore()), again };
}"""


class Place(NamedTuple):
    """A bundle whose router learns, the origin of its site, and how many are in its pools."""

    bundle: Path
    origin: str
    pools: int


@pytest.fixture(scope="module")
def place(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("place")
    bundle = balanced(tiny_bundle, folder / "bundle")
    with Mobile.open(bundle, state=":memory:", adaptive=True) as mobile:
        pools = int(mobile.engine.memory()["counts"].sum())
    with ExitStack() as stack:
        origin = stack.enter_context(served(blank_site(bundle, folder / "site")))
        yield Place(bundle, origin, pools)


@pytest.fixture
def page(chromium: Browser, place: Place) -> Iterator[Page]:
    """A page in a profile of its own."""
    context = chromium.new_context()
    yield module_page(context.new_page(), place.origin)
    context.close()


def inputs_of(number: int) -> list[dict[str, str]]:
    return [{"text": text, "id": f"input {k}"} for k, text in enumerate(texts(number))]


def pools_of(page: Page) -> int:
    """How many are in the pools of the router."""
    values: dict[str, float] = page.evaluate(
        "async () => Object.fromEntries((await mobile.memory()).counts.data.entries())"
    )
    return int(sum(values.values()))


def plain(answer: dict[str, Any]) -> dict[str, Any]:
    """What is the same when an answer is given again."""
    return {k: v for k, v in answer.items() if k not in ("parts", "calls", "steps")}


def test_a_page_that_is_loaded_again_goes_on(page: Page, place: Place) -> None:
    info = page.evaluate(_OPEN, {"adaptive": True})
    assert info["state"].startswith("the state ")
    inputs = inputs_of(24)
    first = page.evaluate(_STREAM, inputs[:15])
    assert all(answer["recorded"] for answer in first)
    ledger = page.evaluate("() => mobile.ledger()")
    page.reload()
    module_page(page, place.origin)
    page.evaluate(_OPEN, {"adaptive": True})
    assert page.evaluate("() => mobile.ledger()") == ledger
    assert pools_of(page) == place.pools + 15
    again = page.evaluate(_STREAM, inputs)
    assert [plain(answer) for answer in again[:15]] == [plain(answer) for answer in first]
    assert page.evaluate("async () => (await mobile.ledger()).answers") == 24
    assert pools_of(page) == place.pools + 24
    with Mobile.open(place.bundle, state=":memory:", adaptive=True) as mobile:
        for one, answer in zip(inputs, again, strict=True):
            expected = mobile.predict(one["text"], id=one["id"])
            assert (answer["label"], answer["route"]) == (expected.label, expected.route)
        assert int(mobile.engine.memory()["counts"].sum()) == place.pools + 24


def test_a_browser_that_is_killed_in_mid_stream_has_every_input_answered_once(
    chromium_type: BrowserType, launch_options: dict[str, Any], place: Place, tmp_path: Path
) -> None:
    inputs = inputs_of(400)
    given: list[dict[str, Any]] = []
    for _ in range(3):
        context = chromium_type.launch_persistent_context(tmp_path / "profile", **launch_options)
        page = module_page(context.new_page(), place.origin)
        page.evaluate(_OPEN, {"adaptive": True, "state": "killed"})
        known = page.evaluate("async () => (await mobile.ledger()).answers")
        assert known >= len(given)
        assert pools_of(page) == place.pools + known
        page.evaluate(_BEGIN, [inputs, known + 20])
        page.wait_for_function("(n) => given.length === n", arg=known + 20)
        seen = page.evaluate("() => given")
        assert [plain(one) for one in seen[: len(given)]] == [plain(one) for one in given]
        given = seen
        kill(tmp_path / "profile")
    assert len(given) < len(inputs)
    context = chromium_type.launch_persistent_context(tmp_path / "profile", **launch_options)
    page = module_page(context.new_page(), place.origin)
    page.evaluate(_OPEN, {"adaptive": True, "state": "killed"})
    answers = page.evaluate(_STREAM, inputs)
    assert [one["id"] for one in answers] == [one["id"] for one in inputs]
    assert [plain(one) for one in answers[: len(given)]] == [plain(one) for one in given]
    ledger = page.evaluate("() => mobile.ledger()")
    assert (ledger["answers"], ledger["learnt"]) == (400, 400)
    assert pools_of(page) == place.pools + 400
    context.close()


def kill(profile: Path) -> None:
    """Kill the browser that has a profile, and all that it started."""
    found = [
        process
        for process in psutil.process_iter(["cmdline"])
        if any(str(profile) in part for part in process.info["cmdline"] or ())
    ]
    assert found
    family = {one for process in found for one in (process, *process.children(recursive=True))}
    for process in family:
        process.kill()
    psutil.wait_procs(family, timeout=_PATIENCE)


def test_a_second_tab_is_refused_until_the_first_is_gone(page: Page, place: Place) -> None:
    page.evaluate(_OPEN, {})
    other = module_page(page.context.new_page(), place.origin)
    name, message = other.evaluate(_FAILED_OPEN, {})
    assert name == "StateBusyError"
    assert "another tab" in message
    assert "close that one" in message
    other.evaluate(_OPEN, {"state": "another"})
    other.evaluate("() => mobile.close()")
    other.evaluate(_OPEN, {"state": ":memory:"})
    page.close()
    other.evaluate(_OPEN, {})
    other.evaluate("() => mobile.predict('a film')")
    other.evaluate("() => mobile.close()")
    other.evaluate(_OPEN, {})
    assert other.evaluate("async () => (await mobile.ledger()).answers") == 1


def test_another_bundles_state_and_one_with_answers_lost_are_refused(page: Page) -> None:
    page.evaluate(_OPEN, {"state": "mine", "adaptive": True})
    page.evaluate(_STREAM, inputs_of(3))
    page.evaluate("() => mobile.close()")
    change = """(work) => new Promise((resolve, reject) => {
      const request = indexedDB.open("dimec mine");
      request.onerror = () => reject(request.error);
      request.onsuccess = () => {
        const transaction = request.result.transaction(["answers", "rest"], "readwrite");
        const answers = transaction.objectStore("answers");
        const rest = transaction.objectStore("rest");
        transaction.oncomplete = () => { request.result.close(); resolve(); };
        transaction.onabort = () => reject(transaction.error);
        if (work === "lose") answers.delete("input 1");
        else rest.get("rest").onsuccess = ({ target: { result } }) =>
          rest.put({ ...result, identity: "another" }, "rest");
      };
    })"""
    page.evaluate(change, "lose")
    name, message = page.evaluate(_FAILED_OPEN, {"state": "mine"})
    assert name == "CorruptArtefactError"
    assert "2 answers are left of 3" in message
    page.evaluate(change, "alter")
    name, message = page.evaluate(_FAILED_OPEN, {"state": "mine"})
    assert name == "MismatchError"
    assert "another bundle" in message


def test_the_audits_rows_are_the_same_in_the_browsers_store_as_in_memory(page: Page) -> None:
    found = page.evaluate(_AUDITS)
    assert found["stored"] == found["memory"]
    assert found["again"] == found["memory"][-1]
    states = found["memory"]
    assert states[-1]["sums"]["audits"]["audited"] > 100
    assert states[-1]["watch"]["drops"]["rows"] > 100
    assert states[-1]["watch"]["safeSince"] > 0


def test_a_full_disk_stops_no_answer_and_has_them_all_later(page: Page, place: Place) -> None:
    said: list[str] = []
    page.context.on("console", lambda line: said.append(line.text))
    page.evaluate(_OPEN, {"adaptive": True, "state": "full"})
    control = page.context.new_cdp_session(page)
    control.send("Storage.overrideQuotaForOrigin", {"origin": place.origin, "quotaSize": 1})
    # The browser measures now and then, and not at each answer.
    page.evaluate(_UNTIL, [False, "before"])
    full = page.evaluate("() => mobile.ledger()")
    assert full["waiting"] == 1
    assert sum("not recorded for now" in line for line in said) == 1
    control.send("Storage.overrideQuotaForOrigin", {"origin": place.origin})
    page.evaluate(_UNTIL, [True, "after"])
    ledger = page.evaluate("() => mobile.ledger()")
    assert (ledger["waiting"], ledger["lost"]) == (0, 0)
    assert ledger["answers"] > full["answers"] + 1
    assert ledger["learnt"] == ledger["answers"]
    assert pools_of(page) == place.pools + ledger["answers"]
    assert page.evaluate("async () => (await mobile.predict('x', { id: 'before 0' })).recorded")


def test_a_state_that_is_removed_under_it_begins_anew(page: Page, place: Place) -> None:
    page.evaluate(_OPEN, {"adaptive": True, "state": "gone"})
    page.evaluate(_STREAM, inputs_of(5))
    page.evaluate(
        """() => new Promise((resolve, reject) => {
          const request = indexedDB.deleteDatabase("dimec gone");
          request.onsuccess = resolve;
          request.onerror = () => reject(request.error);
        })"""
    )
    assert page.evaluate("() => mobile.predict('a film', { id: 'input 0' })")["recorded"]
    assert page.evaluate("async () => (await mobile.ledger()).answers") == 1
    assert pools_of(page) == place.pools + 1
