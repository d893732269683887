"""Loads the folder of DAGs as Airflow does, and runs its DAG once in this process (by check.py, in Airflow's environment).

    python3 run_dag.py RUN_AFTER CONF REPORT

RUN_AFTER is the day of the run and CONF a JSON object of its parameters. REPORT is the JSON file that is written, since Airflow logs to stdout.
"""

import json
import sys
from pathlib import Path

import pendulum
from airflow.dag_processing.dagbag import DagBag

day, conf, report = sys.argv[1:]
bag = DagBag()
found = {"import_errors": bag.import_errors, "dags": sorted(bag.dags)}
if not bag.import_errors and found["dags"] == ["tripcast"]:
    dag = bag.dags["tripcast"]
    found["tasks"] = [[task.task_id, sorted(task.downstream_task_ids)] for task in dag.topological_sort()]
    found["commands"] = {task.task_id: task.bash_command for task in dag.tasks}
    for task in dag.tasks:
        # A check reports the first failure, and does not wait for a next day.
        task.retries = 0
    moment = pendulum.parse(day)
    run = dag.test(run_after=moment, logical_date=moment, run_conf=json.loads(conf))
    found["states"] = {instance.task_id: instance.state for instance in run.get_task_instances()}
Path(report).write_text(json.dumps(found))
