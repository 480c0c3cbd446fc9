"""A damaged log is noticed, and made whole from its newest backup and from what its pages still prove."""
