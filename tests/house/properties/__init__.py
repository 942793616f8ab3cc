"""The table of all public functions, a file for each room; ``property_cases`` says how it is read."""
