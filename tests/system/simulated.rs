//! Simulated histories: a fixed number of seeds, and new ones for a minute.

use std::io::Write;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use strum::VariantArray;
use tests::simulation::invocation::{Verdict, verdict};
use tests::simulation::many::{Summary, many};
use tests::simulation::{Kind, crashing, history};

const SEEDS: u64 = 20_000;
const NEW: Duration = Duration::from_secs(60);

/// Prints a line also where a test succeeds; what the macros print is shown only where one fails.
fn print(line: &str) {
    std::io::stderr().write_all(format!("{line}\n").as_bytes()).unwrap();
}

fn assert_kept(summary: Summary, what: &str) {
    print(&format!("simulated: {what}, up to seed {}", summary.next - 1));
    summary.lines().iter().for_each(|line| print(&format!("  {line}")));
    if let Some((seed, kind, history)) = summary.broken {
        let lines = history.lines.join("\n");
        panic!(
            "{lines}\nseed {seed} ({kind:?}) broke a promise: {:?}; `make simulate SEED={seed}`",
            history.ended
        );
    }
}

#[test]
fn no_promise_is_broken_in_fixed_histories() {
    assert_kept(many(0, SEEDS, None, None), "20,000 fixed histories");
}

#[test]
fn no_promise_is_broken_in_new_histories() {
    let from = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
    assert_kept(many(from, u64::MAX, Some(NEW), None), &format!("a minute of histories from seed {from}"));
}

/// Returns at how many instants an environment can end in the history of seed 0, after it was ended at each of them and nothing else failed.
fn ended_everywhere(kind: Kind) -> u64 {
    for at in 0.. {
        let history = crashing(kind, 0, at);
        let lines = history.lines.join("\n");
        assert!(history.ended.is_ok(), "{lines}\n{kind:?}, ended at {at}: {:?}", history.ended);
        if history.instants <= at {
            return at;
        }
    }
    0
}

#[test]
fn no_promise_is_broken_wherever_an_environment_ends() {
    platform::telemetry::emit_nothing();
    std::thread::scope(|scope| {
        for kind in Kind::VARIANTS {
            scope.spawn(move || {
                let instants = ended_everywhere(*kind);
                assert!(instants > 50, "{kind:?}: {instants}");
                print(&format!("simulated: {kind:?}: an environment ended at each of {instants} instants"));
            });
        }
    });
}

#[test]
fn a_seed_is_one_history() {
    platform::telemetry::emit_nothing();
    for kind in Kind::VARIANTS {
        for seed in 0..if matches!(kind, Kind::Retrainings | Kind::Days) { 2 } else { 20 } {
            let (one, other) = (history(*kind, seed, true), history(*kind, seed, true));
            let first = one.lines.iter().zip(&other.lines).find(|(one, other)| one != other);
            assert_eq!((first, one.trace), (None, other.trace), "{kind:?} {seed}");
            assert!(one.ended.is_ok(), "{kind:?} {seed}: {:?}", one.ended);
        }
    }
}

#[test]
fn a_batch_comes_back_whole_unless_its_answer_can_be_read() {
    let ids = ["a", "b", "c"].map(String::from);
    let failed = |ids: &[&str]| {
        let failures: Vec<Value> = ids.iter().map(|id| json!({"itemIdentifier": id})).collect();
        json!({"batchItemFailures": failures})
    };
    for (answer, expected) in [
        (json!(null), Verdict::Ended),
        (json!({}), Verdict::Ended),
        (failed(&[]), Verdict::Ended),
        (json!({"batchItemFailures": null}), Verdict::Ended),
        (failed(&["b"]), Verdict::Again(vec![1])),
        (failed(&["c", "a"]), Verdict::Again(vec![2, 0])),
        (failed(&[""]), Verdict::AllAgain),
        (failed(&["unknown"]), Verdict::AllAgain),
        (failed(&["a", "unknown"]), Verdict::AllAgain),
        (json!({"batchItemFailures": [{"itemIdentifier": null}]}), Verdict::AllAgain),
        (json!({"batchItemFailures": [{"itemidentifier": "a"}]}), Verdict::AllAgain),
        (json!({"batchItemFailures": ["a"]}), Verdict::AllAgain),
        (json!({"batchItemFailures": "a"}), Verdict::AllAgain),
        (json!({"batchItemfailures": []}), Verdict::AllAgain),
        (json!("done"), Verdict::AllAgain),
    ] {
        assert_eq!(verdict(Some(&answer), &ids), expected, "{answer}");
    }
    assert_eq!(verdict(None, &ids), Verdict::AllAgain, "no JSON");
}
