"""Power cuts on paper: records what a program does to its disk, rebuilds what a cut can leave, asks it to go on."""
