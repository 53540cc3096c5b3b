"""How a model is trained: the loop, the phases of a run and their order, several runs."""
