"""What a network holds, what it ignores, and which shortcuts it took: findings over members of one run or of many."""
