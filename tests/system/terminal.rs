//! Tests `tripcast` as a person uses it.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use model::artifact::sha256_hex;
use serde_json::Value;
use tests::needs::{Need, has};
use tests::{months, release_binary};

fn tripcast(arguments: &[&str]) -> Output {
    Command::new(release_binary("tripcast")).args(arguments).output().unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn document(output: &Output) -> Value {
    assert!(output.status.success(), "{}", stderr(output));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Starts a server of one file that breaks off its first response and then serves ranges; returns the requests.
fn breaking_server(file: Vec<u8>) -> (String, std::thread::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let serve = move || {
        let mut asked = Vec::new();
        for answer in 0..2 {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 4096];
            let length = stream.read(&mut request).unwrap();
            asked.push(String::from_utf8_lossy(&request[..length]).to_lowercase());
            let half = file.len() / 2;
            let (head, body) = if answer == 0 {
                (format!("200 OK\r\ncontent-length: {}", file.len()), &file[..half])
            } else {
                let range = format!("bytes {half}-{}/{}", file.len() - 1, file.len());
                let rest = file.len() - half;
                (
                    format!("206 Partial Content\r\ncontent-range: {range}\r\ncontent-length: {rest}"),
                    &file[half..],
                )
            };
            let head = format!("HTTP/1.1 {head}\r\netag: \"one\"\r\nconnection: close\r\n\r\n");
            stream.write_all(head.as_bytes()).unwrap();
            stream.write_all(body).unwrap();
        }
        asked
    };
    (url, std::thread::spawn(serve))
}

#[test]
fn a_download_that_broke_off_goes_on_and_is_not_made_twice() {
    if !has(Need::Built) {
        return;
    }
    let (file, folder) = (months::green_bytes("2021-01").to_vec(), tempfile::tempdir().unwrap());
    let (url, server) = breaking_server(file.clone());
    let to = folder.path().join("trips");
    let fetch =
        || tripcast(&["data", "fetch", "--month", "2021-01", "--to", text(&to), "--from", &url, "--json"]);
    let broken = fetch();
    assert_eq!(broken.status.code(), Some(1));
    assert!(stderr(&broken).contains("run the same command again to continue"), "{}", stderr(&broken));
    assert!(!to.join("green_tripdata_2021-01.parquet").exists(), "half a month is no month");
    let fetched = document(&fetch());
    assert_eq!(fetched[0]["sha256"], sha256_hex(&file).as_str());
    assert_eq!(std::fs::read(to.join("green_tripdata_2021-01.parquet")).unwrap(), file);
    let again = document(&fetch());
    assert_eq!(again[0]["present"], true, "there is no server any more");
    let asked = server.join().unwrap();
    assert!(asked[1].contains(&format!("range: bytes={}-", file.len() / 2)), "{}", asked[1]);
}

#[test]
fn what_cannot_be_fetched_is_said_in_one_sentence() {
    if !has(Need::Built) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let nobody = ["data", "fetch", "--month", "2021-01", "--from", "http://127.0.0.1:9", "--to"];
    let output = tripcast(&[&nobody[..], &[text(folder.path())]].concat());
    assert_eq!(output.status.code(), Some(1));
    let stderr = stderr(&output);
    assert!(
        stderr.starts_with("error: cannot fetch http://127.0.0.1:9/green_tripdata_2021-01.parquet"),
        "{stderr}"
    );
    assert_eq!(stderr.trim().lines().count(), 1, "{stderr}");
}

#[test]
fn a_trained_model_is_evaluated_and_predicts_a_file() {
    if !has(Need::Built) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (model, out) = (folder.path().join("duration.bin"), folder.path().join("predictions.parquet"));
    let (january, february) = (months::green("2021-01"), months::green("2021-02"));
    let train =
        ["train", "--target", "duration", "--json", "--train", text(&january), "--validate", text(&february)];
    let trained = document(&tripcast(&[&train[..], &["--out", text(&model)]].concat()));
    assert_eq!(trained["validate"]["rules"], "course");
    let evaluated =
        document(&tripcast(&["evaluate", "--json", "--model", text(&model), "--data", text(&february)]));
    assert_eq!(evaluated["data"], trained["validate"], "the same model on the same rows");
    let slices = evaluated["slices"].as_array().unwrap();
    let of_hours =
        slices.iter().filter(|slice| slice["by"] == "hour_band").map(|slice| slice["rows"].as_u64().unwrap());
    assert_eq!(
        of_hours.sum::<u64>(),
        evaluated["data"]["rows"].as_u64().unwrap(),
        "a trip has one hour band"
    );
    let predict =
        ["predict", "--json", "--model", text(&model), "--input", text(&february), "--output", text(&out)];
    let predicted = document(&tripcast(&predict));
    assert_eq!(predicted["predicted"], predicted["rows"]);
    let on_any_threads = std::fs::read(&out).unwrap();
    for threads in ["1", "3"] {
        tripcast(&[&predict[..], &["--threads", threads]].concat());
        assert!(std::fs::read(&out).unwrap() == on_any_threads, "on {threads} threads");
    }
    assert!(std::fs::metadata(&out).unwrap().len() > 10_000);
}

#[test]
fn two_months_are_compared_column_by_column() {
    if !has(Need::Built) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("drift.html");
    let (january, february) = (months::green("2021-01"), months::green("2021-02"));
    let compare = |reference: &Path, current: &Path| {
        let files = ["drift", "--json", "--reference", text(reference), "--current", text(current)];
        document(&tripcast(&[&files[..], &["--html", text(&page)]].concat()))
    };
    let same = compare(&january, &january);
    let columns = same["columns"].as_array().unwrap();
    assert_eq!((columns.len(), &same["is_drift"]), (11, &Value::from(false)));
    assert!(columns.iter().all(|column| column["figure"] == 0.0), "{columns:?}");
    let other = compare(&january, &february);
    assert!(other["columns"].as_array().unwrap().iter().all(|column| column["figure"].as_f64() > Some(0.0)));
    let page = std::fs::read_to_string(&page).unwrap();
    assert!(page.contains("<h1>Drift of green_tripdata_2021-02.parquet against"), "{page}");
}

#[test]
fn wrong_input_gets_one_clear_error() {
    if !has(Need::Built) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let notes = folder.path().join("notes.txt");
    std::fs::write(&notes, "these are notes and neither trips nor a model").unwrap();
    let card = folder.path().join("card.json");
    std::fs::write(&card, "{\"model_details\": {}}").unwrap();
    for (arguments, code, expected) in [
        (vec!["data", "inspect", text(&notes)], 1, "not a readable parquet file: expected it to end with"),
        (vec!["evaluate", "--model", text(&notes), "--data", text(&notes)], 1, "not a tripcast model"),
        (vec!["data", "inspect", "/nowhere/x.parquet"], 1, "reading /nowhere/x.parquet: No such file"),
        (vec!["registry", "history", "--target", "tip", "--store", "https://x"], 2, "expected s3://bucket"),
        (
            vec!["registry", "rollback", "--target", "tip", "--store", text(folder.path())],
            1,
            "no earlier champion",
        ),
        (
            vec!["export", "--format", "onnx", "--model", text(&notes), "--out", text(&notes)],
            1,
            "is an input too: expected another file to write to",
        ),
        (
            vec!["retrain", "--data", "/nowhere", "--models", text(folder.path())],
            1,
            "--data /nowhere: there is no such folder",
        ),
        (vec!["runs", "list", "--store", "/nowhere"], 1, "--store /nowhere: there is no such folder"),
        (
            vec!["drift", "--reference", text(&notes), "--current", text(&notes)],
            1,
            "not a readable parquet file: expected it to end with",
        ),
        (
            vec!["drift", "--reference", text(&card), "--current", text(&card)],
            1,
            "expected the profile.json beside a model's card",
        ),
        (vec!["dlq", "list", "--queue", "trips"], 2, "expected the URL of a queue"),
        (
            vec!["reconcile", "--data", "/nowhere", "--models", text(folder.path())],
            1,
            "--data /nowhere: there is no such folder",
        ),
        (vec!["data", "generate", "--month", "2021-13"], 2, "expected yyyy-mm"),
        (vec!["train", "--target", "fare"], 2, "possible values: duration, tip"),
    ] {
        fails(&arguments, code, expected);
    }
}

fn fails(arguments: &[&str], code: i32, expected: &str) {
    let output = tripcast(arguments);
    let stderr = stderr(&output);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {stderr}");
    assert!(stderr.contains(expected), "{arguments:?}: {stderr:?} should say {expected:?}");
}

#[test]
fn a_replay_without_trips_or_with_too_few_months_is_an_error() {
    if !has(Need::Built) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let fails = |trips, more: &[&str], expected| {
        let arguments = ["replay", "--trips", trips, "--from", "2023-01", "--to", "2023-03"];
        fails(&[&arguments, more].concat(), 1, expected);
    };
    fails("/nowhere", &[], "--trips /nowhere: there is no such folder");
    let trips = text(folder.path());
    fails(trips, &[], "no model was promoted from green trips of 2023-01 to 2023-03");
    fails(trips, &["--late", "2"], "expected a later month to end with by more than --late 2");
}

/// Runs `tripcast` with text on stdin.
fn tripcast_with(arguments: &[&str], input: &[u8]) -> Output {
    let mut command = Command::new(release_binary("tripcast"));
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let (mut stdin, input) = (child.stdin.take().unwrap(), input.to_vec());
    let writer = std::thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    output
}

/// Trains a model that takes a moment.
fn quick_model(folder: &Path) -> std::path::PathBuf {
    let model = folder.join("quick.bin");
    let (january, february) = (months::green("2021-01"), months::green("2021-02"));
    let train = ["train", "--target", "duration", "--family", "linear", "--train", text(&january)];
    let output = tripcast(&[&train[..], &["--validate", text(&february), "--out", text(&model)]].concat());
    assert!(output.status.success(), "{}", stderr(&output));
    model
}

#[test]
fn every_line_is_scored_or_rejected_by_name() {
    if !has(Need::Built) {
        return;
    }
    let broken: [&[u8]; 10] = [
        b"{\"ride_id\": 1, \"ride\": {\"PULocationID\": 1",
        b"\xff\xfe\x00garbage",
        b"[]",
        b"\"text\"",
        b"{\"ride\": {\"PULocationID\":1,\"DOLocationID\":2}}",
        b"{\"ride_id\": 1}",
        b"{\"ride_id\": 1, \"ride\": {\"PULocationID\": \"x\",\"DOLocationID\":2}}",
        b"{\"ride_id\": 1, \"ride\": {\"DOLocationID\":2}}",
        b"{\"ride_id\": [1], \"ride\": {\"PULocationID\":1,\"DOLocationID\":2}}",
        b"{\"ride_id\": 1, \"ride\": {\"PULocationID\":1.5,\"DOLocationID\":2}}",
    ];
    let mut lines = Vec::new();
    for row in 0..10_000 {
        match row % 100 {
            99 => lines.extend_from_slice(broken[row / 100 % 10]),
            _ => lines.extend(
                format!("{{\"ride_id\": {row}, \"ride\": {{\"PULocationID\": 74, \"DOLocationID\": 75}}}}")
                    .bytes(),
            ),
        }
        lines.push(b'\n');
    }
    let folder = tempfile::tempdir().unwrap();
    let output = tripcast_with(&["score", "--model", text(&quick_model(folder.path()))], &lines);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(output.stdout.split(|byte| *byte == b'\n').count(), 9_901, "a line each, and the end");
    let stderr = stderr(&output);
    let rejected: Vec<Value> = stderr.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    assert_eq!(rejected.len(), 100);
    assert_eq!((&rejected[1]["line"], &rejected[1]["reason"]), (&200.into(), &"undecodable".into()));
    assert!(stderr.ends_with("error: 100 of 10000 lines were rejected\n"), "{stderr}");
}

#[test]
fn warnings_are_printed_on_the_terminal() {
    if !has(Need::Built) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    // January's trips under the name of another month.
    let renamed = at("green_tripdata_2022-05.parquet");
    std::fs::copy(months::green("2021-01"), &renamed).unwrap();
    let february = months::green("2021-02");
    let train = ["train", "--target", "duration", "--train", text(&renamed), "--validate", text(&february)];
    let refused = tripcast(&train);
    assert_eq!(refused.status.code(), Some(1));
    assert!(stderr(&refused).contains("the rules strict refuse every row ("), "{}", stderr(&refused));
    assert!(stderr(&refused).contains(" outside_month)"), "{}", stderr(&refused));
    let model = quick_model(folder.path());
    let out = at("predictions.parquet");
    let predict = [
        "predict",
        "--model",
        text(&model),
        "--input",
        text(&february),
        "--output",
        text(&out),
        "--taxi",
        "yellow",
    ];
    let log = stderr(&tripcast(&predict));
    assert!(log.contains("is of green taxis, the models are of yellow ones"), "{log}");
    let log = stderr(&tripcast(&["registry", "list", "--store", text(folder.path())]));
    assert!(log.contains("there is no registry in this store"), "{log}");
    let mut retrain = Command::new(release_binary("tripcast"));
    retrain.args(["retrain", "--now", "2021-03-15", "--data", text(folder.path()), "--models"]);
    let output =
        retrain.arg(at("models")).env("MLFLOW_TRACKING_URI", "sqlite:///mlflow.db").output().unwrap();
    let log = stderr(&output);
    assert_eq!(log.matches("tracking server sqlite: expected http:// or https://").count(), 1, "{log}");
}

/// `UPDATE_COST=1` writes what the commands print.
#[test]
fn what_cost_md_shows_is_what_the_commands_print() {
    if !has(Need::Built) {
        return;
    }
    let path = tests::root().join("docs/COST.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let mut shown = page.clone();
    let mut n = 0;
    // A command, and what it prints in the next block.
    for (from, _) in page.match_indices("```\ntripcast ") {
        let command = page[from..].lines().nth(1).unwrap();
        let arguments: Vec<&str> = command.split(' ').skip(1).collect();
        let printed = tripcast(&arguments);
        assert!(printed.status.success(), "{command}: {}", stderr(&printed));
        let (_, after) = page[from..].split_once("```text\n").unwrap();
        let (before, _) = after.split_once("```\n").unwrap();
        let printed = String::from_utf8(printed.stdout).unwrap();
        if tests::variable("UPDATE_COST").is_some() {
            let old = format!("{command}\n```\n\n```text\n{before}```");
            shown = shown.replace(&old, &format!("{command}\n```\n\n```text\n{printed}```"));
        } else {
            assert_eq!(printed, before, "{command}");
        }
        n += 1;
    }
    assert!(n >= 4, "{n} commands are too few to be all");
    let operations = std::fs::read_to_string(tests::root().join("docs/OPERATIONS.md")).unwrap();
    let (_, sums) = operations.split_once("```text\na million messages").unwrap();
    for sum in sums.split_once("```").unwrap().0.lines() {
        assert!(shown.contains(sum), "docs/OPERATIONS.md has {sum:?}");
    }
    if shown != page {
        std::fs::write(path, shown).unwrap();
    }
}
