"""The commands. Only here is the environment read, and an error turned into an exit status."""
