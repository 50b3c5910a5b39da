"""Git, run safely on a checkout that strangers write to; it supplies the sources of the base revision."""
