"""Models that are trained from scratch, as the study compares with: their architectures are the darts library's."""
