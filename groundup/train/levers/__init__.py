"""What makes training fast, each lever measured and each with its switch."""
