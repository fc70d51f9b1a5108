"""A real single-machine Kubernetes, and the Pulumi toolchain, for machines that have none."""
