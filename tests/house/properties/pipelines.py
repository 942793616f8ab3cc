"""The table of ``pipelines``: everything there keeps samples of a run, and is compared with runs in tests/pipelines."""

OWN = "reads samples of whole runs: compared with recursions, and bad input of every kind refused, in tests/pipelines"
EXEMPT = {
    "pipelines.Budget": "recursions, and bad input of every kind, in tests/pipelines",
    "pipelines.ClassShare": "a tuple of results, without arithmetic",
    "pipelines.Course": OWN,
    "pipelines.Evidence": OWN,
    "pipelines.Interval": "a tuple of results, without arithmetic",
    "pipelines.Monitor": OWN,
    "pipelines.Reading": "a tuple of results, without arithmetic",
    "pipelines.Regimes": "a tuple of results, without arithmetic",
    "pipelines.SampleFeatures": "a tuple of results, without arithmetic",
    "pipelines.class_shares": "counts; intervals and bad input are in tests/pipelines",
    "pipelines.feature_shifts": "means of two samples; bad ones of every kind are in tests/pipelines",
    "pipelines.nearest_ratio": "distances of samples; copies and bad input are in tests/pipelines",
    "pipelines.read_features": "reads files; bad ones of every kind are in tests/pipelines",
    "pipelines.standard_features": "a network without arguments",
}
ENTRIES: list = []
