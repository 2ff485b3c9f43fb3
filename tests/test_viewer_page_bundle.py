"""The page that is committed is what its sources build, small, and asks no other host for anything."""

import gzip
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCES = ROOT / "viewer-ui"
STATIC = ROOT / "src" / "auditmw" / "viewer" / "static"
MAX_GZIPPED_BYTES = 60_000


def contents(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.mark.needs("npm")
def test_the_committed_bundle_is_what_the_sources_build(tmp_path):
    for name in ("package.json", "package-lock.json", ".npmrc", "tsconfig.json", "build.mjs"):
        shutil.copy(SOURCES / name, tmp_path)
    shutil.copytree(SOURCES / "src", tmp_path / "src")

    def run(*command):
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stdout + done.stderr

    run("npm", "ci", "--ignore-scripts")
    run("npm", "run", "check")
    run("node", "build.mjs", "--out", str(tmp_path / "built"))
    built = contents(tmp_path / "built")
    assert sorted(built) == sorted(contents(STATIC)), "run `npm run build` in viewer-ui"
    assert built == contents(STATIC)


def test_everything_together_is_small():
    sizes = {name: len(gzip.compress(content, 9, mtime=0)) for name, content in contents(STATIC).items()}
    assert sum(sizes.values()) <= MAX_GZIPPED_BYTES, sizes


def test_the_page_names_its_files_relative_to_itself_and_nothing_else():
    page = (STATIC / "index.html").read_text()
    named = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert sorted(named) == sorted(f"static/{name}" for name in contents(STATIC) if name != "index.html")
    assert not re.search(r"<script(?![^>]* src=)|<style|\son\w+=|style=", page)


def test_the_lock_names_no_registry():
    assert "resolved" not in (SOURCES / "package-lock.json").read_text()


def test_no_source_writes_html():
    """Values of events never become HTML: none of the ways to do so is in the sources."""
    ways = re.compile(
        r"innerHTML|outerHTML|insertAdjacentHTML|dangerouslySetInnerHTML|document\.write|\beval\(|new Function"
    )
    for path in SOURCES.joinpath("src").rglob("*.ts*"):
        assert not ways.search(path.read_text()), path
