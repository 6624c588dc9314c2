"""What distances are measured in: the attribute classifier, Inception, a file of the user's; and their cache."""
