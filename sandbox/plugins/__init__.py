"""Provider plugins and language host for machines that cannot download the official ones.

They speak the provider protocol of Pulumi for the resource types that this program uses, answer as the official
plugins do, and refuse any other type with a message that names the plugin to install.
"""
