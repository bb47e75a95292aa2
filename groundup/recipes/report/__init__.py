"""The report of a run: one page that says how good the assistant is and why."""
