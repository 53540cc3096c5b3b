"""What every other part rests on: checks of arguments, errors, whole files, lazy names."""
