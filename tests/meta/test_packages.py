"""The two distributions: what is in their wheels, their versions and their public names."""

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import sameas
from support.snippets import ROOT

PACKAGES = {"sameas": ROOT / "client", "sameas_service": ROOT / "service"}
PROJECTS = {"sameas": ROOT / "client", "sameas_service": ROOT}
KEPT = ("*.py", "*.pyi", "py.typed", "*.sql")


@pytest.fixture(scope="module")
def wheels(tmp_path_factory) -> dict[str, Path]:
    """Both wheels, built offline, by package name."""
    folder = tmp_path_factory.mktemp("wheels")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    options = ["--no-index", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder)]
    subprocess.run([*pip, "wheel", *options, "./client", "."], cwd=ROOT, check=True, timeout=120)
    return {path.name.split("-")[0]: path for path in folder.glob("*.whl")}


def contents(wheel: Path) -> set[str]:
    """The names of the files of a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def metadata(wheel: Path) -> str:
    """The METADATA of a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        [name] = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        return archive.read(name).decode()


def project(package: str) -> dict:
    """The table `project` of a pyproject.toml."""
    return tomllib.loads((PROJECTS[package] / "pyproject.toml").read_text())["project"]


@pytest.mark.parametrize("package", PACKAGES)
def test_a_wheel_has_exactly_its_package(wheels, package):
    root = PACKAGES[package]
    source = {str(path.relative_to(root)) for kind in KEPT for path in (root / package).rglob(kind)}

    found = {name for name in contents(wheels[package]) if ".dist-info/" not in name}

    assert set(wheels) == set(PACKAGES)
    assert found == source
    assert f"{package}/py.typed" in found
    assert not any("test" in name for name in found)


def test_the_clients_wheel_has_the_stubs_with_their_types(wheels):
    found = contents(wheels["sameas"])

    for proto in (ROOT / "protos").rglob("*.proto"):
        name = f"sameas/v1/{proto.stem}_pb2"
        assert {f"{name}.py", f"{name}.pyi"} <= found


def test_the_services_wheel_has_the_command_and_the_licence(wheels):
    with zipfile.ZipFile(wheels["sameas_service"]) as archive:
        [entry] = [name for name in archive.namelist() if name.endswith("entry_points.txt")]
        assert "sameas = sameas_service.cli.app:app" in archive.read(entry).decode()
        assert any(name.endswith("licenses/LICENSE") for name in archive.namelist())


def test_the_client_needs_grpc_and_protobuf_only(wheels):
    needed = re.findall(r"^Requires-Dist: ([\w-]+)", metadata(wheels["sameas"]), re.M)

    assert sorted(needed) == ["grpcio", "grpcio-status", "protobuf"]


def test_what_is_installed_from_the_wheels_runs(wheels, tmp_path):
    """Imported from there, not from the checkout; and nothing else is put beside it."""
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    options = ["--no-index", "--no-deps", "--target", str(tmp_path / "site")]
    subprocess.run([*pip, "install", *options, *wheels.values()], check=True, timeout=120)
    script = (
        f"import sys; sys.path.insert(0, {str(tmp_path / 'site')!r}); "
        "import sameas, sameas_service.cli.app, sameas_service.server.app; "
        "print(sameas.__file__, sameas_service.__file__)"
    )

    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, check=True, capture_output=True, text=True
    )

    assert done.stdout.count(str(tmp_path / "site")) == 2
    beside = {path.name for path in (tmp_path / "site").iterdir() if "dist-info" not in path.name}
    assert beside - {"bin"} == set(PACKAGES)


@pytest.mark.parametrize("name", ["client", "service", "tests", "protos"])
def test_a_folder_of_the_checkout_is_no_package(tmp_path, name):
    """They are source roots; as import names they would squat in everybody's site-packages."""
    script = f"import importlib.util as util; assert util.find_spec({name!r}) is None"

    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=True, timeout=60)


def test_there_is_one_version():
    client, service = project("sameas"), project("sameas_service")
    changelog = (ROOT / "CHANGELOG.md").read_text()
    sections = re.findall(r"^## \[([^]]+)\](?: - (\d{4}-\d{2}-\d{2}))?$", changelog, re.M)

    assert client["version"] == service["version"]
    assert f"sameas=={client['version']}" in service["dependencies"]
    assert sections[0] == ("Unreleased", "")
    assert sections[1][0] == client["version"]
    assert sections[1][1]


def test_the_wheels_have_that_version(wheels):
    for package, wheel in wheels.items():
        assert f"\nVersion: {project(package)['version']}\n" in metadata(wheel)


def test_public_names_of_the_client_exist_and_are_sorted():
    def key(name: str) -> tuple[int, str]:
        """Constants, then classes, then the rest, as ruff has it."""
        return (0 if name.isupper() else 1 if name[0].isupper() else 2, name)

    assert [name for name in sameas.__all__ if not hasattr(sameas, name)] == []
    assert sameas.__all__ == sorted(set(sameas.__all__), key=key)


def test_public_names_of_the_stubs_exist():
    from sameas import v1

    assert [name for name in v1.__all__ if not hasattr(v1, name)] == []
    assert set(v1.DESCRIPTORS if hasattr(v1, "DESCRIPTORS") else ()) <= set(v1.__all__)
