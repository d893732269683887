"""A DAG for Airflow 3: each month is fetched from the TLC, retrained on and predicted. Its tasks run `tripcast`, which has to be on the PATH."""

from datetime import timedelta

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG, Param
from pendulum import datetime

# Commands read values from the environment, so that no value becomes a part of the command itself.
ENV = {
    # The TLC publishes a month about two months later.
    "MONTH": "{{ params.month or (dag_run.run_after - macros.dateutil.relativedelta.relativedelta(months=2)).strftime('%Y-%m') }}",
    "NOW": "{{ dag_run.run_after | ds }}",
    # Directories or s3://<bucket>. The workers' environment has the credentials for AWS.
    "DATA": "{{ var.value.get('tripcast_data', '/var/lib/tripcast/data') }}",
    "MODELS": "{{ var.value.get('tripcast_models', '/var/lib/tripcast/models') }}",
    # ARNs of a deployment's state machines. Without them the worker itself retrains and predicts.
    "TRAINING": "{{ var.value.get('tripcast_training_state_machine', '') }}",
    "BACKFILL": "{{ var.value.get('tripcast_backfill_state_machine', '') }}",
    "SOURCE": "{{ var.value.get('tripcast_source', 'https://d37ci6vzurychx.cloudfront.net/trip-data') }}",
}
# By way of the task's own folder, so that the manifest of the download does not get among the trips.
FETCH = """set -e
FILE="green_tripdata_$MONTH.parquet"
tripcast data fetch --from "$SOURCE" --month "$MONTH" --to .
case "$DATA" in
s3://*) aws s3 cp "$FILE" "$DATA/incoming/" ;;
*) mkdir -p "$DATA/incoming" && mv "$FILE" "$DATA/incoming/" ;;
esac"""
RETRAIN = """if [ -n "$TRAINING" ]; then tripcast retrain --state-machine "$TRAINING" --now "$NOW"
else tripcast retrain --data "$DATA" --models "$MODELS" --now "$NOW" --name airflow; fi"""
BACKFILL = """if [ -n "$BACKFILL" ]; then tripcast backfill --state-machine "$BACKFILL" --from "$MONTH" --to "$MONTH"
else tripcast backfill --data "$DATA" --models "$MODELS" --from "$MONTH" --to "$MONTH"; fi"""

with DAG(
    "tripcast",
    schedule="0 9 15 * *",
    start_date=datetime(2021, 1, 1, tz="America/New_York"),  # no run is of a day before it
    catchup=False,
    max_active_runs=1,
    params={"month": Param(None, type=["null", "string"], pattern=r"^\d{4}-\d{2}$", description="yyyy-mm; by default two months ago")},
    default_args={"env": ENV, "append_env": True, "retries": 2, "retry_delay": timedelta(minutes=5), "execution_timeout": timedelta(hours=2)},
):
    # A month that is late is tried again each day for two weeks.
    fetch = BashOperator(task_id="fetch", bash_command=FETCH, retries=14, retry_delay=timedelta(days=1))
    retrain = BashOperator(task_id="retrain", bash_command=RETRAIN)
    backfill = BashOperator(task_id="backfill", bash_command=BACKFILL)
    fetch >> retrain >> backfill
