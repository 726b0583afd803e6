"""What a network holds, what it ignores, and which shortcuts it took: findings over the members of one run or of many."""
