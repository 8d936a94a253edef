"""The paper's thresholds (arXiv 2504.15236), each once: defaults, and what runs are measured by."""

CONVERSATIONS = 308_210  # 1.2: subjective conversations of one week
MIN_CONVERSATIONS = 15  # 1.4: a label's support, 0.005 % of them
MIN_ACCOUNTS = 5  # of later reports by the same group; the paper names none
SUBJECTIVE_FROM = 3  # A.2: levels 3 and 4 of 4
ALPHA = 0.05  # 2: two-sided, before Bonferroni


def support_is_lowered(min_conversations: int, min_accounts: int) -> bool:
    """Whether labels need less support than the paper asks for."""
    return min_conversations < MIN_CONVERSATIONS or min_accounts < MIN_ACCOUNTS
