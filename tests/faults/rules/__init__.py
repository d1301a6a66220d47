"""What must hold when everything has healed, whatever happened: each rule returns the sentences it broke."""
