"""How good trained towers are on real products; each module is a command of its own and prints JSON last."""
