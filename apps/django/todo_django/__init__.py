"""The to-do list of the contract, served by Django."""
