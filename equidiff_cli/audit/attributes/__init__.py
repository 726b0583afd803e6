"""What a picture can be described by, one number each."""
