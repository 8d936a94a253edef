"""The checks of a finished run folder, from its documented form alone.

Nothing in here imports the pipeline: what the pipeline gets wrong must not be wrong here too.

    verdict       START HERE: the checks by code, in order, and the command line
    expected      the documented form: columns, types, stages, closed sets
    reading       a run folder as it lies there
    recounting    what a conversation counts towards
    problems      how a check says what is wrong
    intervals     the formulas of 95 % intervals

A check is a function from a run to its problems, none when all is well; the first line of its
docstring is what it promises. They stand in the order of the stages:

    folder        manifests, run.json, files, digests
    tables        columns, and what may be public
    rows          conversations, rejects, extractions
    contents      what is in them, against the input files
    labels        merges, labels, accounts
    trees         taxonomy and tasks
    vectors       what the taxonomy was clustered from
    shares        response types, mirroring, intervals
    associations  associations, residuals, variation
    comparisons   assistants and periods side by side
    outputs       release, report, and the input files
"""
