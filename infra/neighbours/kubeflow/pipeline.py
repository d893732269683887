"""A pipeline for Kubeflow Pipelines 2: a month is inspected, models are retrained, and the month is predicted by the champions.

    kfp dsl compile --py pipeline.py --output pipeline.yaml

Stores are s3://<bucket> or directories of a mounted volume. Containers read S3 by the service account that runs the pipeline.
"""

from kfp import dsl

# Build it by infra/container/Dockerfile, push it, and put its name in your registry here before compiling.
IMAGE = "tripcast:latest"
# Kubeflow starts containers by a launcher of its own, so the image's entrypoint has to be named.
TRIPCAST = ["/usr/local/bin/tripcast"]


@dsl.container_component
def inspect(previous: dsl.Input[dsl.Dataset], trips: dsl.Input[dsl.Dataset]):
    return dsl.ContainerSpec(image=IMAGE, command=TRIPCAST, args=["data", "inspect", previous.path, trips.path])


@dsl.container_component
def retrain(data: str, models: str, now: str):
    return dsl.ContainerSpec(
        image=IMAGE, command=TRIPCAST, args=["retrain", "--data", data, "--models", models, "--now", now, "--name", "kubeflow"]
    )


@dsl.container_component
def predict(data: str, models: str, month: str):
    return dsl.ContainerSpec(
        image=IMAGE, command=TRIPCAST, args=["backfill", "--data", data, "--models", models, "--from", month, "--to", month]
    )


@dsl.pipeline(name="tripcast", description="Inspects a month of taxi trips, retrains, and predicts the month.")
def tripcast(data: str, models: str, month: str, trips: str, previous: str, now: str):
    """Runs the steps one after another.

    Args:
        data: Store of the trips.
        models: Store of the models.
        month: The month to predict, yyyy-mm.
        trips: URI of the month's file, below incoming/ of the store.
        previous: URI of the file of the month before, with which it is compared.
        now: Day to retrain as of, yyyy-mm-dd.
    """
    files = [dsl.importer(artifact_uri=uri, artifact_class=dsl.Dataset, reimport=True).output for uri in (previous, trips)]
    inspected = inspect(previous=files[0], trips=files[1])
    retrained = retrain(data=data, models=models, now=now).after(inspected).set_memory_limit("3G")
    predicted = predict(data=data, models=models, month=month).after(retrained).set_retry(num_retries=2)
    # Their parameters do not say what the files and stores hold, so an earlier result must not stand for a new one.
    for task in (inspected, retrained, predicted):
        task.set_caching_options(False)
