"""What the fallback language host does besides running programs: installing packages, telling about itself."""

import platform
import sys
import zipfile

import pytest

from tests.engine.conftest import Project, new_project


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project whose virtual environment was broken before `pulumi install`, with a package from its own folder."""
    project = new_project(tmp_path_factory.mktemp("project"))
    project.write("print('a program')\n", options="virtualenv: venv")
    (project.folder / "venv").mkdir()
    with zipfile.ZipFile(project.folder / "greeting-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("greeting.py", "TEXT = 'hello'\n")
        wheel.writestr("greeting-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: greeting\nVersion: 1.0\n")
        wheel.writestr("greeting-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr("greeting-1.0.dist-info/RECORD", "")
    (project.folder / "requirements.txt").write_text("--no-index\n--find-links .\ngreeting\n")
    assert "Successfully installed greeting-1.0" in project.pulumi("install")
    return project


def test_install_makes_the_virtual_environment(installed: Project) -> None:
    packages = installed.folder / "venv" / "lib" / f"python3.{sys.version_info.minor}" / "site-packages"
    assert (packages / "greeting.py").exists()


def test_install_needs_no_network_for_what_is_there(installed: Project) -> None:
    (installed.folder / "requirements.txt").write_text("--no-index\ngreeting==1.0\n")
    assert "Requirement already satisfied: greeting==1.0" in installed.pulumi("install")


def test_install_shows_why_a_package_cannot_be_installed(installed: Project) -> None:
    (installed.folder / "requirements.txt").write_text("--no-index\nno-such-package==7\n")
    output = installed.pulumi("install", fails=True)
    assert "No matching distribution found for no-such-package==7" in output
    assert "-m pip install --disable-pip-version-check -r requirements.txt failed with exit code 1" in output


def test_install_serves_policy_packs_too(installed: Project) -> None:
    folder = installed.folder / "policy"
    folder.mkdir()
    (folder / "PulumiPolicy.yaml").write_text("name: p\nruntime:\n  name: python\n  options: {virtualenv: venv}\n")
    (folder / "requirements.txt").write_text("--no-index\n--find-links ..\ngreeting\n")
    assert "Successfully installed greeting-1.0" in installed.pulumi("install", "-C", "policy")
    assert (folder / "venv" / "bin" / "python").exists()


def test_a_virtual_environment_without_the_sdk_is_named(installed: Project) -> None:
    preview = installed.pulumi("preview", fails=True)
    assert f"{installed.folder}/venv has no Python package pulumi: run pulumi install" in preview
    assert "Traceback" not in preview


def test_about_names_the_interpreter_and_the_plugins(project: Project) -> None:
    about = project.pulumi("about")
    assert f"version='{platform.python_version()}'" in about
    for package in ("kubernetes", "tls", "command"):
        assert f"resource  {package}" in about
    assert "pulumi_tls" in about


def test_code_is_not_generated_and_the_message_says_who_can(project: Project) -> None:
    (project.folder / "main.pp").write_text('resource key "tls:index/privateKey:PrivateKey" { algorithm = "RSA" }\n')
    output = project.pulumi("convert", "--from", "pcl", "--language", "python", "--out", "out", fails=True)
    assert "to write code, install Pulumi with its own pulumi-language-python" in output
