"""The table of ``pipelines``: everything there keeps samples of a run, and is compared with runs in tests/pipelines."""

OWN = "reads samples of whole runs: compared with recursions, and bad input of every kind refused, in tests/pipelines"
EXEMPT = {
    "pipelines.Course": OWN,
    "pipelines.Evidence": OWN,
    "pipelines.Interval": "a tuple of results, without arithmetic",
    "pipelines.ModelFinding": "words, a verdict and an estimate, without arithmetic",
    "pipelines.ModelReport": "a tuple of findings, without arithmetic",
    "pipelines.Monitor": OWN,
    "pipelines.Reading": "a tuple of results, without arithmetic",
    "pipelines.SampleFeatures": "a tuple of results, without arithmetic",
    "pipelines.check_model": "a report in words: planted mistakes and bad input are in tests/pipelines",
    "pipelines.read_features": "reads files; bad ones of every kind are in tests/pipelines",
    "pipelines.standard_features": "a network without arguments",
}
ENTRIES: list = []
