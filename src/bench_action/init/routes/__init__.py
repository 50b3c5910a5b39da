"""Find the GET routes of an application in its sources, one module for each way to declare them."""
