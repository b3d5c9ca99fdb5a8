"""Who is studied: cohort definitions as SQL with their citation, and the attrition at each step."""
