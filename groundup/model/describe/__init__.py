"""What is a model like? Its shape and costs, and which of its experts computes which token."""
