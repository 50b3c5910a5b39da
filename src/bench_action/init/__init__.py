"""What `bench-action init` writes: a first configuration and workflow, from what a repository already has."""
