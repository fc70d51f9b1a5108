from pathlib import Path

import pytest

from sandbox import layout, toolchain
from sandbox.choice import choose
from sandbox.errors import SandboxError


@pytest.fixture(autouse=True)
def repository(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setattr(layout, "REPOSITORY", tmp_path)
    monkeypatch.setattr(layout, "KUBECONFIG", tmp_path / ".sandbox" / "kubeconfig")
    monkeypatch.delenv("KUBECONFIG", raising=False)
    (tmp_path / "Pulumi.dev.yaml").write_text("config: {'registry:kubeconfig': .sandbox/kubeconfig}\n")
    (tmp_path / "Pulumi.lab.yaml").write_text("config: {'registry:kubeconfig': /etc/lab.kubeconfig}\n")
    return tmp_path


@pytest.mark.parametrize("exported", ["", "own"])
def test_a_stack_that_names_the_sandbox_gets_it(monkeypatch: pytest.MonkeyPatch, exported: str) -> None:
    monkeypatch.setenv("KUBECONFIG", exported and str(layout.KUBECONFIG))
    assert choose("dev").sandbox


@pytest.mark.parametrize("exported", ["", "/home/me/.kube/config"])
def test_a_stack_that_names_another_cluster_gets_no_sandbox(monkeypatch: pytest.MonkeyPatch, exported: str) -> None:
    monkeypatch.setenv("KUBECONFIG", exported)
    chosen = choose("lab")
    assert not chosen.sandbox
    assert "/etc/lab.kubeconfig, as Pulumi.lab.yaml says" in chosen.reason


def test_a_kubeconfig_in_the_environment_never_decides_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", "/home/me/.kube/config")
    with pytest.raises(SandboxError, match=r"KUBECONFIG is /home/me/\.kube/config, but stack 'dev' is the sandbox's"):
        choose("dev")


def test_a_stack_without_settings_is_named(repository: Path) -> None:
    with pytest.raises(SandboxError, match=r"Pulumi\.prod\.yaml does not exist"):
        choose("prod")
    (repository / "Pulumi.prod.yaml").write_text("config: {}\n")
    with pytest.raises(SandboxError, match=r"Pulumi\.prod\.yaml has no registry:kubeconfig"):
        choose("prod")


def test_only_the_sandboxes_stack_gets_its_backend_and_its_well_known_passphrase(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("PULUMI_BACKEND_URL", "PULUMI_CONFIG_PASSPHRASE", "PULUMI_CONFIG_PASSPHRASE_FILE"):
        monkeypatch.delenv(name, raising=False)
    assert "PULUMI_CONFIG_PASSPHRASE_FILE" in toolchain.environment()
    with pytest.raises(SandboxError, match=r"stack 'lab' has no backend.* from clusters/lab/environment"):
        toolchain.environment("lab")
    monkeypatch.setenv("PULUMI_BACKEND_URL", "s3://states")
    assert (
        not {"PULUMI_CONFIG_PASSPHRASE_FILE", "PULUMI_BACKEND_URL", "KUBECONFIG"} & toolchain.environment("lab").keys()
    )
