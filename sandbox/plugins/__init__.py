"""The plugins of tls and command, and a language host, for machines that cannot download the official ones.

The plugins speak the provider protocol of Pulumi for the resource types that this program uses, answer as the official
ones do, and refuse any other type with a message that names the plugin to install. Kubernetes has none here: its
official plugin is built from its Go module.
"""
