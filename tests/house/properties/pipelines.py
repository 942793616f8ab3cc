"""The table of ``pipelines``: everything there keeps samples of a run, and is compared with runs in tests/pipelines."""

OWN = "reads samples of whole runs: compared with recursions, and bad input of every kind refused, in tests/pipelines"
LEARNER = "of a retraining loop that is watched; compared with moments in tests/experiments"
EXEMPT = {
    "pipelines.Course": OWN,
    "pipelines.Evidence": OWN,
    "pipelines.Interval": "a tuple of results, without arithmetic",
    "pipelines.Monitor": OWN,
    "pipelines.Reading": "a tuple of results, without arithmetic",
    "pipelines.SampleFeatures": "a tuple of results, without arithmetic",
    "pipelines.read_features": "reads files; bad ones of every kind are in tests/pipelines",
    "pipelines.standard_features": "a network without arguments",
    "experiments.NAIVE": "names",
    "experiments.PIPELINES_FORECAST": "an experiment with its settings",
    "experiments.RETRAININGS": "settings by name",
    "experiments.Boxes": LEARNER,
    "experiments.BoxModel": LEARNER,
    "experiments.Categories": LEARNER,
    "experiments.CellView": LEARNER,
    "experiments.DriftMeasure": "a measurement of a recursion; compared with closed forms in tests/experiments",
    "experiments.FittedModel": LEARNER,
    "experiments.ForecastRow": "a tuple of results, without arithmetic",
    "experiments.MixtureFit": LEARNER,
    "experiments.Retraining": "settings of a retraining loop",
    "experiments.Share": "counts, compared with tables in tests/experiments",
    "experiments.Smoothed": LEARNER,
    "experiments.SmoothedModel": LEARNER,
    "experiments.View": LEARNER,
    "experiments.forecast_rows": "reads a stored result; compared with planted ones in tests/experiments",
    "experiments.naive_forecasts": "reads a Course; compared with recursions in tests/experiments",
    "experiments.resampled": LEARNER,
    "experiments.run_pipeline": "what an experiment is made of: its settings are its own, its numbers those of recurse",
}
ENTRIES: list = []
