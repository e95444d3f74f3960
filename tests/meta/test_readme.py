"""What the README says is so: its snippets run, and its tables name what there is."""

import gzip
import os
import re
import shlex
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace

import pytest

import sameas
from sameas import Client, new_anonymous_id
from sameas.v1 import identity_service_pb2, person_service_pb2
from sameas_service.domain import limits
from sameas_service.domain.accept import Call, accept
from sameas_service.domain.errors import Reason
from sameas_service.domain.kinds import Kind
from sameas_service.domain.times import EARLIEST
from sameas_service.domain.warnings import WarningReason
from sameas_service.server.config import PREFIX, Config
from sameas_service.servicer.refusals import code_of
from support import demo
from support.damages import filled
from support.readme import README, number, quoted, section, table
from support.snippets import READMES, ROOT, Snippet, example, snippets

PYTHON = [snippet for file in READMES for snippet in snippets(file, "python")]
SHELL = [snippet for file in READMES for snippet in snippets(file, "sh")]
SEEN = {"make", "pip", "docker"}
"""Commands that set up or take long: they are looked at, and not run."""

EVENTS = b"""\
{"type":"page","name":"Home","anonymousId":"readme-device","timestamp":"2024-01-02T10:00:00Z"}
{"type":"identify","userId":"usr_abc123","anonymousId":"readme-device","traits":{"plan":"free"}}
{"type":"track","event":"Signed Up","userId":"usr_abc123","timestamp":"2024-01-02T10:05:00Z"}
{"type":"track","event":"Signed Up","userId":"usr_def456","timestamp":"2024-01-02T10:06:00Z"}
"""


def commands(code: str) -> list[str]:
    """The commands of a shell snippet, one a line, without comments."""
    lines = code.replace("\\\n", " ").splitlines()
    return [bare for line in lines if (bare := re.sub(r"(^|\s)#.*", "", line).strip())]


def targets() -> set[str]:
    """The targets of the Makefile."""
    return set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))


def stopped(directory: Path) -> str:
    """A data directory that no server has open, with one message."""
    data = directory / "data"
    return str(filled(data, [accept(Call(Kind.TRACK, "m", EARLIEST, user_id="u-1", event="e"))]))


# ---- Snippets -----------------------------------------------------------------------------


def test_the_example_prints_what_the_readme_says(server):
    code = example().for_target(server.target)

    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        check=False, capture_output=True, text=True, timeout=60,
    )  # fmt: skip

    assert (done.stderr, done.returncode) == ("", 0)
    assert done.stdout == "linked\npage Pricing\nidentify \n"
    assert "prints `linked`, `page Pricing` and `identify`" in README.read_text()
    assert 10 <= len(example().code.splitlines()) <= 12


@pytest.mark.parametrize("snippet", PYTHON, ids=lambda snippet: snippet.name)
def test_a_python_snippet_runs(server, snippet: Snippet):
    """With what snippets take for granted: the package's names, a client, a web request."""
    code = compile(snippet.for_target(server.target), snippet.name, "exec")
    with Client(server.target) as client:
        names = {name: getattr(sameas, name) for name in sameas.__all__}
        names |= {"client": client, "device": new_anonymous_id()}
        names["request"] = SimpleNamespace(session={})

        exec(code, names)

        if isinstance(report := names.get("report"), sameas.FlushReport):
            assert report.complete
            assert report.accepted


@pytest.mark.parametrize("snippet", SHELL, ids=lambda snippet: snippet.name)
def test_a_shell_snippet_runs(server, snippet: Snippet, tmp_path: Path):
    found = commands(snippet.for_target(server.target))
    run = [command for command in found if command.split()[0] not in SEEN]
    (tmp_path / "events.jsonl.gz").write_bytes(gzip.compress(EVENTS, mtime=0))
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"

    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", "\n".join(run)],
        check=False, cwd=tmp_path, capture_output=True, text=True, timeout=60,
        env=os.environ | {
            "PATH": path, "SAMEAS_SERVER": server.target, "SAMEAS_DATA": stopped(tmp_path),
        },
    )  # fmt: skip

    assert (done.returncode, done.stderr) == (0, "")
    assert bool(done.stdout) == bool(run)


def test_what_the_shell_snippets_make_is_there():
    """Targets of make, directories that pip installs, and a Dockerfile."""
    seen = [shlex.split(command) for snippet in SHELL for command in commands(snippet.code)]

    made = {words[1] for words in seen if words[0] == "make"}
    installed = {word for words in seen if words[0] == "pip" for word in words[2:]}
    assert made <= targets()
    assert {"run", "test", "check"} <= made
    assert {"./client", "."} == installed
    assert all((ROOT / word / "pyproject.toml").is_file() for word in installed)
    assert any(words[0] == "docker" for words in seen)
    assert (ROOT / "Dockerfile").is_file()


def test_the_demo_shows_the_example(capsys):
    demo.main()

    shown = capsys.readouterr().out
    assert example().code in shown
    assert "linked\npage Pricing\nidentify" in shown
    assert "usr_abc123" in shown.split("sameas timeline usr_abc123")[-1]


# ---- Tables -------------------------------------------------------------------------------


def test_the_table_of_calls_names_every_rpc():
    files = (identity_service_pb2.DESCRIPTOR, person_service_pb2.DESCRIPTOR)
    there = [
        method.name
        for file in files
        for service in file.services_by_name.values()
        for method in service.methods
    ]

    assert [row.cells[0] for row in table("Calls")] == there
    assert all(all(row.cells) for row in table("Calls"))


def test_every_promise_names_tests_and_targets_that_exist():
    for row in table("Promises"):
        tests = re.findall(r"tests/[\w/.]+\w", row.cells[1])
        assert tests, row
        assert all((ROOT / test).exists() for test in tests), row
        assert set(re.findall(r"make (\w+)", row.cells[1])) <= targets(), row


def test_the_table_of_limits_has_every_limit_with_its_value():
    there = {name: value for name, value in vars(limits).items() if name.isupper()}

    assert {row.cells[0]: number(row.cells[1]) for row in table("Limits")} == there


def test_the_table_of_configuration_has_every_field_with_its_default():
    def text(value) -> str:
        return f"{value:g}" if isinstance(value, float) else str(value or "")

    defaults = Config()
    there = {PREFIX + f.name.upper(): text(getattr(defaults, f.name)) for f in fields(Config)}

    assert {row.cells[0]: row.cells[1] for row in table("Configuration")} == there


def test_every_field_of_the_configuration_is_read_from_its_variable():
    anything = "7"  # a text that each of them can be
    given = {PREFIX + f.name.upper(): anything for f in fields(Config)}

    read, defaults = Config.from_env(given), Config()

    assert all(getattr(read, f.name) != getattr(defaults, f.name) for f in fields(Config))


def test_the_table_of_errors_has_every_reason_under_its_code():
    found = {reason: row.cells[0] for row in table("Errors and warnings")
             for reason in row.cells[1].replace("`", "").split()}  # fmt: skip

    assert found == {reason.value: code_of(reason).name for reason in Reason}


def test_every_warning_is_named():
    assert {reason.name for reason in WarningReason} <= set(quoted(section("Errors and warnings")))


def test_the_project_structure_names_every_package_of_the_service():
    text = section("Project structure")
    packages = {path.parent for path in (ROOT / "service" / "sameas_service").glob("*/__init__.py")}
    tests = {path.parent.name for path in (ROOT / "tests").glob("*/*.py")} - {"support"}
    [tests_line] = [line for line in text.splitlines() if line.startswith("tests/")]

    assert all(re.search(rf"\b{package.name}/", text) for package in packages)
    assert set(tests_line.removeprefix("tests/").replace(",", "").split()) >= tests


# ---- Form ---------------------------------------------------------------------------------


def test_the_readme_is_short():
    assert len(README.read_text().splitlines()) < 280


@pytest.mark.parametrize("file", READMES, ids=lambda file: str(file.relative_to(ROOT)))
def test_links_lead_to_files(file: Path):
    links = re.findall(r"\]\(([^)#]+)\)", file.read_text())

    assert all((file.parent / link).exists() for link in links if "://" not in link)
