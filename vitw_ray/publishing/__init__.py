"""`vitw publish`: a release from the tables of a finished run."""
