"""Stage 7: the tables that may be published, in the columns of the paper's data set."""
