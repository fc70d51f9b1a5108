"""What a registry needs beyond `pulumi up`: commands that run beside the program."""
