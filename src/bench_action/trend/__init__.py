"""The history as series: change points, checks, the backtest of a gate, and the pages."""
