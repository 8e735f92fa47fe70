"""Write requirements.lock: every package that the demo and the tests need, pinned and hashed.

uv resolves once for all platforms and all supported Pythons and writes environment markers, so one
file serves them all; pip's own resolver would know only the machine it runs on. torch itself and
its GPU packages stay out (see torch_build), what torch needs besides stays in. The file names no
index and no path.

deploy/serve.lock is the part of it that a container of a tier needs: the same versions, the same
hashes.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from setup_env import ROOT, count_packages, torch_pin
from torch_build import ask_pip, pure_requirements

HEADER = """\
# Every package of the development environment, for all platforms; written by `make lock`.
# torch stands apart: its version is in pyproject.toml, and tools/torch_build.py installs it.
"""
PART_HEADER = """\
# What dimec[otel,serve] needs, as requirements.lock has it, for deploy/Containerfile; written by
# `make lock`.
"""

_PLAIN = (
    "--generate-hashes",
    "--no-header",
    "--no-annotate",
    "--no-emit-index-url",
    "--no-emit-find-links",
)


def compile_command(inputs: list[str], excludes: str, output: str, upgrade: bool) -> list[str]:
    """The uv call that resolves the inputs into the output."""
    command = [sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--no-config"]
    command += ["--universal", "--python-version", "3.11", "--fork-strategy", "fewest"]
    command += [*_PLAIN, "--extra", "dev", "--excludes", excludes]
    command += ["--upgrade"] if upgrade else []
    return [*command, "--output-file", output, *inputs]


def part_command(root: Path, output: str) -> list[str]:
    """The uv call that resolves what a server needs, held to the versions of the whole lock."""
    command = [sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--no-config"]
    command += ["--universal", "--python-version", "3.11", "--fork-strategy", "fewest"]
    command += [
        *_PLAIN,
        "--extra",
        "serve",
        "--extra",
        "otel",
        "--constraints",
        str(root / "requirements.lock"),
    ]
    return [*command, "--output-file", output, str(root / "pyproject.toml")]


def without_comments(body: str) -> str:
    """The lines that say something."""
    lines = [line for line in body.splitlines() if not line.startswith("#")]
    return "\n".join(lines) + "\n"


def write_lock(root: Path, upgrade: bool) -> None:
    """Resolve and replace root/requirements.lock. Raises when pip or uv fail."""
    lock = root / "requirements.lock"
    version = torch_pin(root / "pyproject.toml")
    torch = ask_pip(version)
    if torch is None:
        raise SystemExit(f"lock: pip finds no torch=={version}, so its requirements are unknown")
    with tempfile.TemporaryDirectory() as folder:
        extra, excludes, output = (Path(folder) / name for name in ("extra.in", "ex.in", "lock"))
        extra.write_text("\n".join(pure_requirements(torch.requires)) + "\n", encoding="utf-8")
        excludes.write_text("torch\n", encoding="utf-8")
        if lock.exists():
            output.write_bytes(lock.read_bytes())  # uv keeps the versions it finds here
        inputs = [str(root / "pyproject.toml"), str(extra)]
        subprocess.run(
            compile_command(inputs, str(excludes), str(output), upgrade), check=True, cwd=root
        )
        body = output.read_text(encoding="utf-8")
        lock.write_text(HEADER + without_comments(body), encoding="utf-8")
        part = Path(folder) / "serve.lock"
        subprocess.run(part_command(root, str(part)), check=True, cwd=root)
        served = without_comments(part.read_text(encoding="utf-8"))
    (root / "deploy" / "serve.lock").write_text(PART_HEADER + served, encoding="utf-8")
    print(
        f"lock: {count_packages(body)} packages in {lock.name}; `make setup` installs what changed"
    )


def main() -> None:
    """Parse and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--upgrade", action="store_true", help="take the newest versions")
    write_lock(ROOT, parser.parse_args().upgrade)


if __name__ == "__main__":
    main()
