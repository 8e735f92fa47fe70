"""Check a release as its users will meet it, before it is one: ``make release-check``.

Versions agree and the changelog says what to do; wheel and source archive are built and looked
into; the wheel is installed into an environment of its own for every Python that is found, where
the base install answers a text from a bundle without torch; every extra is installed and what it
is for is imported. What has passed with the same wheel is not done again, so that a check that was
stopped goes on where it was. Nothing is published.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path

from release_parts import check_archive, check_versions, check_wheel, version_of
from setup_progress import StepProgress

ROOT = Path(__file__).resolve().parents[1]
WORK = ROOT / "build" / "release"
PYTHONS = ((3, 11), (3, 12), (3, 13), (3, 14))
TEXT = "the film is moving and the plot is clever"

# Extra → what is imported where it is installed: a module of dimec that needs it, and the packages
# themselves, which an import inside a function would not show. A test holds it to pyproject.toml.
IMPORTS = {
    "train": ("dimec.training.loop", "accelerate", "pyarrow", "sklearn", "scipy", "transformers"),
    "tables": ("pyarrow", "pandas"),
    "hub": ("datasets", "huggingface_hub"),
    "export": ("dimec.training.export.bundles", "onnx", "onnx_ir", "onnxscript", "torch"),
    "serve": ("dimec.serving.app", "httptools", "prometheus_client", "starlette", "uvicorn"),
    "plots": ("dimec.report.figures", "matplotlib", "openTSNE"),
    "track": ("tensorboard",),
    "trackio": ("trackio",),
    "mlflow": ("mlflow",),
    "otel": ("dimec.telemetry.spans",),
    "ray": ("dimec.serving.ray.running", "dimec.serving.app", "ray.serve", "ray.data"),
    "executorch": ("executorch.runtime",),
    "demo": ("dimec.training.export.bundles", "dimec.serving.app", "dimec.report.figures"),
    "dev": ("build", "hypothesis", "pytest", "mypy"),
}

MAKE_BUNDLE = """
import sys
from pathlib import Path
from support.tiny import make_backbone, reviews, train_tiny, write_reviews
folder = Path(sys.argv[1])
table = write_reviews(folder / "reviews.csv", reviews(240))
run = train_tiny(table, make_backbone(folder / "backbone"), folder / "run")
run.fit(policy="max-softmax-tiers")
run.export(folder / "bundle")
"""

# In the environment: torch is not there, a text is answered, and by the package that is checked.
ANSWER = """
import importlib.util, sys
from pathlib import Path
assert importlib.util.find_spec("torch") is None, "the base install brings torch"
import dimec
assert Path(dimec.__file__).is_relative_to(sys.prefix), dimec.__file__
assert dimec.__version__ == sys.argv[3], dimec.__version__
with dimec.Mobile.open(Path(sys.argv[1]), state=":memory:") as mobile:
    said = mobile.predict(sys.argv[2])
assert said.label in ("negative", "positive"), said
print(said.label)
"""


class ReleaseError(Exception):
    """The release is not one; the message is for the one who makes it."""


def run(command: Sequence[str | Path], title: str, **environment: str) -> str:
    """Run a step of the check and show that it lives.

    Raises:
        ReleaseError: it failed; ends with what it said.
    """
    known = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    lines = []
    with (
        StepProgress(title) as progress,
        subprocess.Popen(
            [str(word) for word in command],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=WORK,
            env=known | environment,
        ) as process,
    ):
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line)
            progress.hear(line)
        code = process.wait()
    if code:
        raise ReleaseError(f"{title} failed:\n{''.join(lines[-25:])}")
    return "".join(lines)


def build(folder: Path) -> tuple[Path, Path]:
    """Wheel and source archive of the checkout, as ``make wheel`` builds them."""
    shutil.rmtree(folder, ignore_errors=True)
    command: list[str | Path] = [
        sys.executable,
        "-m",
        "build",
        "--no-isolation",
        "--outdir",
        folder,
        ROOT,
    ]
    run(command, "wheel and source archive")
    (wheel,), (archive,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    return wheel, archive


def found_pythons(given: Sequence[str] = ()) -> dict[str, str]:
    """Version → executable of every Python that dimec is for and that starts here.

    Args:
        given: executables to take in place of those that are found: on the path, and pyenv's.
    """
    homes = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    names = [f"python{major}.{minor}" for major, minor in PYTHONS]
    found: dict[str, str] = {}
    for one in given or [sys.executable, *names, *map(str, sorted(homes.glob("*/bin/python")))]:
        version = _version_of_python(one)
        if version is not None and tuple(map(int, version.split("."))) in PYTHONS:
            found.setdefault(version, one)
        elif given:
            raise ReleaseError(f"--python {one}: expected a Python of 3.11 to 3.14, got {version}")
    return dict(sorted(found.items(), key=lambda pair: int(pair[0].split(".")[1])))


def _version_of_python(executable: str) -> str | None:
    program = "import sys; print('%d.%d' % sys.version_info[:2])"
    try:
        done = subprocess.run(
            [executable, "-c", program], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None  # there is none, or a name of pyenv's that starts nothing
    return done.stdout.strip()


def installed(python: str, wheel: Path, extra: str = "") -> Path:
    """A clean environment with the wheel and one of its extras; its Python."""
    folder = WORK / "environment"
    shutil.rmtree(folder, ignore_errors=True)
    told = f"python {_version_of_python(python)}, {extra or 'base'}"
    run([python, "-m", "venv", folder], f"{told}: environment")
    inside = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    pin = WORK / "torch.txt"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    pin.write_text(f"torch=={project['tool']['dimec']['torch']}\n", "utf-8")
    wanted = f"{wheel}[{extra}]" if extra else str(wheel)
    pip: list[str | Path] = [inside, "-m", "pip", "install", "--progress-bar", "off"]
    run([*pip, "--constraint", pin, wanted], f"{told}: install")
    return inside


def check_base(python: str, wheel: Path, bundle: Path) -> None:
    """The base install answers a text, without torch, and its commands start."""
    inside = installed(python, wheel)
    run(
        [inside, "-I", "-c", ANSWER, bundle, TEXT, version_of(ROOT)], "answers a text without torch"
    )
    run([inside, "-I", "-m", "dimec", "--help"], "dimec --help")
    run([inside, "-I", "-m", "dimec", "inspect", bundle], "dimec inspect")
    run([inside, "-I", "-m", "pip", "check"], "its packages agree")


def check_extra(python: str, wheel: Path, extra: str) -> None:
    """An extra is installed, and what it is for is imported."""
    inside = installed(python, wheel, extra)
    imports = "\n".join(f"import {module}" for module in IMPORTS[extra])
    run([inside, "-I", "-c", imports], f"imports of {extra}")
    run([inside, "-I", "-m", "pip", "check"], f"packages of {extra} agree")


def make_bundle() -> Path:
    """The bundle of a tiny run, trained by this checkout; kept for the next check."""
    folder = WORK / "bundle"
    if not (folder / "bundle" / "manifest.json").exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        paths = os.pathsep.join(str(ROOT / part) for part in ("src", "tests"))
        run(
            [sys.executable, "-c", MAKE_BUNDLE, folder], "a bundle to answer from", PYTHONPATH=paths
        )
    return folder / "bundle"


class Passed:
    """What has passed with a wheel, kept in a file, so that it is not done again."""

    def __init__(self, file: Path, wheel: Path) -> None:
        self._file, self._wheel = file, hashlib.sha256(wheel.read_bytes()).hexdigest()
        stored = json.loads(file.read_text("utf-8")) if file.exists() else {}
        self._names: list[str] = stored.get(self._wheel, [])

    def once(self, name: str, check: Callable[[], None]) -> None:
        """Run a check unless it has passed with this wheel."""
        if name in self._names:
            print(f"release: {name}: passed before, with this very wheel")
            return
        check()
        self._names.append(name)
        self._file.write_text(json.dumps({self._wheel: self._names}, indent=1), "utf-8")
        print(f"release: {name}: passed")


def check(options: argparse.Namespace) -> None:
    """All that was asked for.

    Raises:
        ReleaseError: something is not as it must be.
    """
    WORK.mkdir(parents=True, exist_ok=True)
    refuse(check_versions(ROOT, released=options.released))
    wheel, archive = build(WORK / "dist")
    refuse([*check_wheel(wheel, ROOT), *check_archive(archive, ROOT)])
    print(f"release: {wheel.name} and {archive.name} hold what they must")
    if options.files_only:
        return
    pythons = found_pythons(options.python)
    missing = [f"{a}.{b}" for a, b in PYTHONS if f"{a}.{b}" not in pythons]
    print(f"release: Python {', '.join(pythons)}; not here: {', '.join(missing) or 'none'}")
    passed = Passed(WORK / "passed.json", wheel)
    bundle = make_bundle()
    for version, python in pythons.items():
        passed.once(f"base, Python {version}", lambda p=python: check_base(p, wheel, bundle))  # type: ignore[misc]
    version, python = next(iter(pythons.items()))
    for extra in options.extras:
        name = f"extra {extra}, Python {version}"
        passed.once(name, lambda e=extra: check_extra(python, wheel, e))  # type: ignore[misc]
    shutil.rmtree(WORK / "environment", ignore_errors=True)
    print("release: all that was asked for has passed")


def refuse(wrong: Sequence[str]) -> None:
    """Raise what is wrong, if anything is."""
    if wrong:
        raise ReleaseError("\n".join(wrong))


def extras_of(text: str) -> list[str]:
    """The extras that were asked for: ``all``, ``none``, or names.

    Raises:
        argparse.ArgumentTypeError: there is none of a name.
    """
    if text in ("all", "none"):
        return list(IMPORTS) if text == "all" else []
    names = text.split(",")
    if unknown := [name for name in names if name not in IMPORTS]:
        raise argparse.ArgumentTypeError(
            f"expected all, none, or some of {', '.join(IMPORTS)}; got {unknown[0]!r}"
        )
    return names


def main(words: Sequence[str] | None = None) -> int:
    """Check, and say what is wrong. Returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--extras", type=extras_of, default="all", help="all, none, or train,serve")
    parser.add_argument(
        "--python", action="append", default=[], help="one to install into; default: all found"
    )
    parser.add_argument("--files-only", action="store_true", help="versions and archives alone")
    parser.add_argument(
        "--released", action="store_true", help="the changelog must have the version and a date"
    )
    try:
        check(parser.parse_args(words))
    except (ReleaseError, OSError) as error:
        print(f"release: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
