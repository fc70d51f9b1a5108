"""Who makes the registry read-only for a while, and how."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pulumi
import pulumi_kubernetes as k8s

SCRIPT = Path(__file__).with_name("read_only.sh").read_text()
"""What scripts start with that make the registry read-only; its variables are those of `Maintainer.environment`."""


@dataclass(frozen=True, kw_only=True)
class MaintainerArgs:
    """Arguments of `Maintainer`. A change of namespace or name replaces everything."""

    namespace: pulumi.Input[str]
    """Namespace of the registry."""
    name: str
    """Name of the ServiceAccount, its Role and its RoleBinding."""
    deployment: pulumi.Input[str]
    """Name of the registry's Deployment, whose first container is `registry`."""
    labels: Mapping[str, str]
    """Labels of its pods."""
    rules: Sequence[k8s.rbac.v1.PolicyRuleArgsDict] = ()
    """What it may do besides."""


class Maintainer(pulumi.ComponentResource):
    """A ServiceAccount that may make the registry read-only and writable again, and nothing else."""

    account: pulumi.Output[str]
    """Name of the ServiceAccount, known once it has its rights."""

    def __init__(self, name: str, args: MaintainerArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("registry:index:Maintainer", name, None, opts)
        self._args = args
        child = pulumi.ResourceOptions(parent=self)
        metadata: k8s.meta.v1.ObjectMetaArgsDict = {
            "namespace": args.namespace,
            "name": args.name,
            "labels": args.labels,
        }
        account = k8s.core.v1.ServiceAccount(
            f"{name}-account", metadata=metadata, automount_service_account_token=False, opts=child
        )
        role = k8s.rbac.v1.Role(
            f"{name}-role",
            metadata=metadata,
            rules=[
                {
                    "api_groups": ["apps"],
                    "resources": ["deployments"],
                    "resource_names": [args.deployment],
                    "verbs": ["get", "list", "watch", "patch"],
                },
                {"api_groups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch"]},
                *args.rules,
            ],
            opts=child,
        )
        binding = k8s.rbac.v1.RoleBinding(
            f"{name}-binding",
            metadata=metadata,
            role_ref={"api_group": "rbac.authorization.k8s.io", "kind": "Role", "name": role.metadata.name},
            subjects=[{"kind": "ServiceAccount", "name": account.metadata.name, "namespace": args.namespace}],
            opts=child,
        )
        self.account = pulumi.Output.all(account.metadata.name, binding.id).apply(lambda made: str(made[0]))
        self.register_outputs({"account": self.account})

    def environment(self, mode: str) -> list[k8s.core.v1.EnvVarArgsDict]:
        """The variables of `SCRIPT`; `mode` is what the registry is made read-only for, in words joined by hyphens."""
        return [
            {"name": "DEPLOYMENT", "value": self._args.deployment},
            {"name": "SELECTOR", "value": ",".join(f"{key}={value}" for key, value in self._args.labels.items())},
            {"name": "MODE", "value": mode},
        ]
