"""The `kubernetes` provider: any kind that the cluster's API server knows, built in or custom."""
