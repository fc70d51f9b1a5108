"""A real two-node Kubernetes on one machine, and the Pulumi toolchain, for machines that have none."""
