"""How a node is reached over SSH."""

import shlex
from dataclasses import dataclass

import pulumi
import pulumi_command as command


@dataclass(frozen=True, kw_only=True)
class Ssh:
    """Login to one node whose host key is known."""

    host: str
    """Host name or IP address."""
    port: int
    """TCP port."""
    user: str
    """Login user: root, or one who may run `sudo` without a password."""
    host_key: str
    """Expected host key, as `ssh-ed25519 AAAA…`; any other key ends the connection before anything is sent."""
    private_key: pulumi.Output[str] | None
    """Login key (PEM), a secret; without one the SSH agent is asked."""

    @property
    def connection(self) -> command.remote.ConnectionArgs:
        """The same as an argument of a remote command: three dials of 5 seconds, so that a dead node is told soon."""
        return command.remote.ConnectionArgs(
            host=self.host,
            port=self.port,
            user=self.user,
            host_key=self.host_key,
            private_key=self.private_key,
            dial_error_limit=3,
            per_dial_timeout=5,
        )

    def as_root(self, script: str) -> str:
        """Returns a shell script as a command that runs it with root's rights."""
        return script if self.user == "root" else f"sudo -n sh -c {shlex.quote(script)}"
