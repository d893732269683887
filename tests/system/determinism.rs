//! The same inputs and the same seed give the same model: in every process, on any number of threads.

use std::process::Command;

use serde_json::Value;
use tests::needs::{Need, has};
use tests::{months, release_binary};

fn versions_of(arguments: &[&str], path: &[&str]) -> Vec<String> {
    let output = Command::new(release_binary("tripcast")).arg("--json").args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    let found = document.pointer(&format!("/{}", path.join("/"))).unwrap();
    match found {
        Value::Array(targets) => targets.iter().map(|target| target["version"].to_string()).collect(),
        version => vec![version.to_string()],
    }
}

/// linfa-trees breaks ties by the order of a hash map, which differs between processes; weights leave no ties.
#[test]
fn a_hundred_processes_grow_the_same_tree() {
    if !has(Need::Built) {
        return;
    }
    let (learn, later) = (months::green("2021-01"), months::green("2021-02"));
    let [learn, later] = [&learn, &later].map(|path| path.to_str().unwrap());
    let arguments = ["train", "--target", "tip", "--family", "tree", "--train", learn, "--validate", later];
    let first = versions_of(&arguments, &["version"]);
    for process in 1..100 {
        assert_eq!(versions_of(&arguments, &["version"]), first, "process {process}");
    }
}

#[test]
fn a_retraining_does_not_depend_on_threads() {
    if !has(Need::Built) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let history = folder.path().join("data/history");
    std::fs::create_dir_all(&history).unwrap();
    for month in ["2021-01", "2021-02", "2021-03"] {
        let from = months::green(month);
        std::fs::copy(&from, history.join(from.file_name().unwrap())).unwrap();
    }
    let data = folder.path().join("data");
    let run = |threads: &str| {
        let models = folder.path().join(format!("models-{threads}"));
        let (data, models) = (data.to_str().unwrap(), models.to_str().unwrap());
        let arguments = [
            "retrain",
            "--data",
            data,
            "--models",
            models,
            "--now",
            "2021-04-15",
            "--trials",
            "1",
            "--threads",
            threads,
        ];
        versions_of(&arguments, &["targets"])
    };
    let one = run("1");
    assert_eq!(one.len(), 2);
    assert_eq!(one, run("2"));
    assert_eq!(one, run("3"));
}
