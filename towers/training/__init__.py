"""Running a training: the loop, its state on disk, what identifies it."""
