use std::sync::Mutex;

use async_trait::async_trait;
use clap::Parser;
use operations::invoke::InvokeError;
use operations::letters::{Letter, MemoryLetters};
use operations::records::{Record, RecordsError};
use serde_json::json;

use super::super::entry::samples;
use super::*;

/// Functions that note what they are invoked with, and fail where the event contains a text.
#[derive(Debug, Default)]
struct Noted {
    invoked: Mutex<Vec<(String, Value)>>,
    fails_on: Option<&'static str>,
    answer: Value,
}

impl Noted {
    fn note(&self, function: &str, event: &Value) -> Result<(), InvokeError> {
        if self.fails_on.is_some_and(|text| event.to_string().contains(text)) {
            return Err(InvokeError::new(function, "set to fail".into()));
        }
        self.invoked.lock().unwrap().push((function.into(), event.clone()));
        Ok(())
    }

    fn functions(&self) -> Vec<String> {
        self.invoked.lock().unwrap().iter().map(|(function, _)| function.clone()).collect()
    }
}

#[async_trait]
impl Functions for Noted {
    async fn send(&self, function: &str, event: &Value) -> Result<(), InvokeError> {
        self.note(function, event)
    }
    async fn call(&self, function: &str, event: &Value) -> Result<Value, InvokeError> {
        self.note(function, event).map(|()| self.answer.clone())
    }
}

/// A stream that has the records with these numbers.
#[derive(Debug)]
struct Numbered(Vec<u32>);

#[async_trait]
impl Records for Numbered {
    async fn read(&self, _: &Position) -> Result<Vec<Record>, RecordsError> {
        let record = |number: &u32| Record {
            sequence_number: number.to_string(),
            partition_key: "k".into(),
            data: b"{}".to_vec(),
            arrived_s: None,
        };
        Ok(self.0.iter().map(record).collect())
    }
}

#[derive(Parser)]
struct Command {
    #[command(flatten)]
    args: Args,
}

async fn replay(queue: &MemoryLetters, functions: &Noted, records: &[u32], arguments: &[&str]) -> Replayed {
    let fixed = ["replay", "--queue", "https://sqs.x/0/failures"];
    let args = Command::try_parse_from(fixed.iter().chain(arguments)).unwrap().args;
    let records = Numbered(records.to_vec());
    let mut replayed = Replayed { dry_run: args.dry_run, ..Replayed::default() };
    Replay { queue, functions, records: &records, args: &args }.run(&mut replayed).await.unwrap();
    replayed
}

fn dropped(name: &str) -> Letter {
    samples::invocation("batch:live", &samples::dropped(&format!("incoming/{name}")))
}

#[tokio::test]
async fn events_are_handed_over_and_their_entries_deleted() {
    let queue = MemoryLetters::new(vec![
        dropped("a"),
        samples::undelivered("batch", &samples::dropped("incoming/b"), "false"),
        samples::invocation("retrainer", &json!({"now": "2021-03-15"})),
        samples::unknown(),
    ]);
    let functions = Noted::default();
    let dry = replay(&queue, &functions, &[], &["--function", "batch", "--dry-run"]).await;
    assert_eq!((dry.found, dry.replayed.len(), dry.others), (4, 2, 2));
    assert!(functions.functions().is_empty() && queue.visible().len() == 4, "nothing was done");

    let one = replay(&queue, &functions, &[], &["--function", "batch", "--max", "1"]).await;
    assert_eq!(
        (one.replayed.len(), functions.functions(), queue.visible().len()),
        (1, vec!["batch:live".into()], 3)
    );
    assert_eq!(functions.invoked.lock().unwrap()[0].1, samples::dropped("incoming/a"));
    let rest =
        replay(&queue, &functions, &[], &["--function", "batch:live", "--function", "retrainer"]).await;
    assert_eq!((rest.replayed.len(), rest.others, queue.visible().len()), (2, 1, 1));
    assert_eq!(functions.functions(), ["batch:live", "batch:live", "retrainer"], "the alias that was named");
}

#[test]
fn functions_are_named_by_name_alias_or_arn() {
    let named = |text| Function::named(text).map(|function| function.qualified());
    assert_eq!(named("batch").unwrap(), "batch");
    assert_eq!(named("batch:live").unwrap(), "batch:live");
    assert_eq!(named("arn:aws:lambda:eu-west-1:111122223333:function:batch:live").unwrap(), "batch:live");
    for bad in ["", ":live", "batch:", "arn:aws:sqs:eu-west-1:111122223333:batch", "a b"] {
        assert!(named(bad).unwrap_err().contains("expected the name of a function"), "{bad}");
    }
}

#[tokio::test]
async fn only_the_entries_that_are_asked_for_are_replayed() {
    let named = |id: &str| Letter { id: id.into(), ..dropped(id) };
    let queue = MemoryLetters::new(vec![named("one"), named("two"), named("three")]);
    let functions = Noted::default();
    let ended = replay(&queue, &functions, &[], &["--function", "batch", "--id", "two"]).await;
    assert_eq!((ended.replayed[0].id.as_str(), ended.others, queue.visible().len()), ("two", 2, 2));
}

#[tokio::test]
async fn what_was_not_accepted_or_cannot_be_replayed_stays() {
    let queue = MemoryLetters::new(vec![dropped("a"), dropped("b"), samples::without_event("batch")]);
    let functions = Noted { fails_on: Some("incoming/a"), ..Noted::default() };
    let ended = replay(&queue, &functions, &[], &["--function", "batch"]).await;
    assert_eq!((ended.replayed.len(), ended.failed.len(), ended.impossible.len()), (1, 1, 1));
    assert!(ended.failed[0].reason.contains("set to fail"));
    assert_eq!(queue.visible().len(), 2);
    assert_eq!(table(&ended).len(), 5, "{:?}", table(&ended));

    let queue = MemoryLetters::new(vec![dropped("b")]);
    queue.keep();
    let ended = replay(&queue, &functions, &[], &["--function", "batch"]).await;
    assert_eq!((ended.replayed.len(), ended.not_deleted.len(), queue.visible().len()), (1, 1, 1));
}

#[tokio::test]
async fn records_are_read_again_and_end_by_the_answer_of_their_function() {
    let queue = || MemoryLetters::new(vec![samples::records("scorer")]);
    let stream = "arn:aws:kinesis:us-east-1:000000000000:stream/trips";
    let scorer = ["--function", "scorer", "--stream", stream];
    let unnamed = replay(&queue(), &Noted::default(), &[1, 2, 3], &scorer[..2]).await;
    assert!(unnamed.impossible[0].reason.ends_with("name it with --stream"), "{:?}", unnamed.impossible);
    let answering = |answer: Value| Noted { answer, ..Noted::default() };

    // As Lambda does, an empty list of failures and none are both success.
    for answer in [json!({"batchItemFailures": []}), Value::Null] {
        let (queue, functions) = (queue(), answering(answer));
        let ended = replay(&queue, &functions, &[1, 2, 3], &scorer).await;
        assert_eq!((ended.replayed.len(), queue.visible().len()), (1, 0));
        let invoked = functions.invoked.lock().unwrap();
        assert_eq!(invoked[0].1["Records"].as_array().unwrap().len(), 3);
    }
    let failures = json!({"batchItemFailures": [{"itemIdentifier": "2"}]});
    for (answer, records, reason) in [
        (failures, vec![1, 2, 3], "failed on 1 of its records"),
        (Value::Null, vec![], "the stream has these records no more"),
    ] {
        let (queue, functions) = (queue(), answering(answer));
        let ended = replay(&queue, &functions, &records, &scorer).await;
        assert!(ended.failed[0].reason.contains(reason), "{:?}", ended.failed);
        assert_eq!((ended.replayed.len(), queue.visible().len()), (0, 1));
    }
    // What is left of them is replayed.
    let (queue, functions) = (queue(), answering(Value::Null));
    let ended = replay(&queue, &functions, &[3], &scorer).await;
    assert_eq!((ended.replayed.len(), queue.visible().len()), (1, 0));
}
