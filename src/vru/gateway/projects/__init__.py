"""Projects: one model or camera under validation each."""
