"""The table of ``pipelines``: everything there keeps samples of a run, and is compared with runs in tests/pipelines."""

OWN = "reads samples of whole runs: compared with recursions, and bad input of every kind refused, in tests/pipelines"
EXEMPT = {
    "pipelines.Course": OWN,
    "pipelines.Evidence": OWN,
    "pipelines.Interval": "a tuple of results, without arithmetic",
    "pipelines.Monitor": OWN,
    "pipelines.Reading": "a tuple of results, without arithmetic",
}
ENTRIES: list = []
