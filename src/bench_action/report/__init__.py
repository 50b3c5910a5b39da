"""Report a result: in the terminal, as markdown, HTML and charts."""
