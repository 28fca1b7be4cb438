"""What networks are made of, for agents and for forecasters; arrays are [units, batch]."""
