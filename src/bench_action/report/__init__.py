"""How a result is told: in the terminal, as markdown, as charts."""
