r"""Allow-lists for text that a model writes: labels, task phrases and names of clusters.

Four modules share them, so that what an answer may hold and what a release may publish cannot
differ:

- `extraction/answers.py`: an answer is valid only with labels and a task phrase of these forms.
- `inference/parsing.py`: replaces other characters and shortens the text before that check.
- `taxonomy/naming/member_naming.py`: a cluster name has the form `CLUSTER_NAME`.
- `release/tables.py`: a label or a cluster name of another form is withheld.

Every form starts with a letter and excludes the characters that start markup or a spreadsheet
formula. The patterns have no anchors: use `fullmatch`, or wrap them in `^...$` for a JSON schema.
"""

MAX_LABEL = 40  # ours: the published labels have 3-35 characters
LABEL_CHARACTERS = r"a-z '\-"  # the published labels have these and no others
# At least two characters: no published label has one, and one letter names no value. The length is
# part of the pattern: grammars for constrained decoding handle that more reliably than `maxLength`.
LABEL = rf"[a-z][{LABEL_CHARACTERS}]{{1,{MAX_LABEL - 1}}}"

MAX_TASK_PHRASE = 80  # ours: a short sentence
TASK_PHRASE_CHARACTERS = r"A-Za-z0-9 ,'\-"
TASK_PHRASE = rf"[A-Za-z][{TASK_PHRASE_CHARACTERS}]{{4,{MAX_TASK_PHRASE - 1}}}"

# The published names have letters, spaces and hyphens; names joined from labels need the rest.
# Naming limits the number of words, the release also the number of characters.
CLUSTER_NAME = r"[A-Za-z][A-Za-z ,'\-]*"
