"""What pull requests, merges and the nightly job run; every step runs by hand as well."""
