"""Where an artifact departs from its source: a search for the smallest picture that the two read differently."""
