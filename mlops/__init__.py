"""What is trained and served: data sets, recipes, jobs, models, predictions, feedback."""
