//! `tripcast reconcile`.

use std::time::{Duration, SystemTime};

use batch_predictor::audit::{Audit, FileStanding};
use chrono::{DateTime, Utc};
use operations::invoke::{Functions, LambdaFunctions};
use serde::Serialize;
use serde_json::{Value, json};
use store::{Condition, ObjectMeta, StoreUri};

use crate::backfill::{Here, NotPredicted};
use crate::files;
use crate::output::{Failure, Output, spinner};
use crate::queues::time;

/// Find dropped files that have neither predictions nor an error report, as where an event was lost, and predict them.
///
/// With --resend they are predicted here, on all cores, or, with --function, the events of these objects are sent to the deployed function again.
///
/// Ends with 1 if there are any that are not predicted when the command ends, or whose events were not accepted. A file counts as predicted if the present champions have
/// predicted its present bytes. After a promotion that is none of the earlier ones: `backfill` predicts them again, and --any-champions counts
/// what former champions have predicted.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  tripcast reconcile --data s3://my-data --models s3://my-models
  tripcast reconcile --data s3://my-data --models s3://my-models --any-champions --json
  tripcast reconcile --data s3://my-data --models s3://my-models --resend --function \"${BATCH_PREDICTOR_FUNCTION}:live\"
  tripcast reconcile --data ./trips-store --models ./models --resend")]
pub struct Args {
    /// Store of the trips: s3://bucket or a directory.
    #[arg(long)]
    data: StoreUri,
    /// Store of the models: s3://bucket or a directory.
    #[arg(long)]
    models: StoreUri,
    /// Where the files lie, below incoming/.
    #[arg(long, default_value = "incoming/")]
    prefix: String,
    /// Files that were written within so many minutes may be under way, and are not missing yet.
    #[arg(long, default_value_t = 20)]
    grace_minutes: u64,
    /// Count what former champions have predicted, too.
    #[arg(long)]
    any_champions: bool,
    /// Have what is missing predicted.
    #[arg(long)]
    resend: bool,
    /// Name of the deployed batch predictor, with :live for the code that serves, to which events are sent; without it, files are predicted here.
    #[arg(long, value_name = "NAME", requires = "resend", conflicts_with_all = ["taxi", "threads", "utc_times"])]
    function: Option<String>,
    /// Files predicted or sent at most, the first by their keys.
    #[arg(long, default_value_t = 100, requires = "resend")]
    max: usize,
    #[command(flatten)]
    here: Here,
}

/// A file that is missing.
#[derive(Debug, Serialize)]
struct Missing {
    key: String,
    /// When it was written.
    modified: Option<DateTime<Utc>>,
    /// Whether former champions have predicted it.
    predicted_earlier: bool,
}

/// What became of missing files that were asked for again.
#[derive(Debug, Serialize)]
struct Resent {
    /// The function whose events they are; none if they were predicted here.
    #[serde(skip_serializing_if = "Option::is_none")]
    function: Option<String>,
    /// Files that have predictions now, or whose events were accepted.
    done: u64,
    failed: Vec<NotPredicted>,
}

/// How the files stand.
#[derive(Debug, Default, Serialize)]
struct Report {
    /// The bundle of the present champions.
    bundle: Option<String>,
    files: u64,
    predicted: u64,
    refused: u64,
    /// Files that may be under way.
    young: u64,
    missing: Vec<Missing>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resent: Option<Resent>,
}

/// Some files are not predicted; the report lists them.
#[derive(Debug, thiserror::Error)]
enum ReconcileError {
    #[error("--prefix {prefix}: expected it to begin with incoming/")]
    Prefix { prefix: String },
    #[error("--data {data}: expected s3://bucket, since only the bucket of a deployment has events")]
    NoBucket { data: String },
    #[error(
        "{missing} of {files} files have neither predictions nor an error report; --resend predicts them"
    )]
    Missing { missing: usize, files: u64 },
    #[error("{left} of {missing} missing files were left")]
    Left { left: usize, missing: usize },
}

/// Runs the verb.
pub async fn run(args: &Args, out: &Output) -> Result<(), Failure> {
    if !args.prefix.starts_with(registry::layout::INCOMING) {
        return Err(ReconcileError::Prefix { prefix: args.prefix.clone() }.into());
    }
    let bucket = match (&args.function, &args.data) {
        (None, _) => None,
        (Some(function), StoreUri::S3 { bucket, prefix }) if prefix.is_empty() => Some((function, bucket)),
        (Some(_), data) => return Err(ReconcileError::NoBucket { data: data.to_string() }.into()),
    };
    let data = files::open_existing("--data", &args.data).await?;
    let models = files::open_existing("--models", &args.models).await?;
    let predictor = args.here.predictor(data, models);
    let looking = spinner("looking at files");
    let audit = predictor.audit(&args.prefix).await;
    looking.finish_and_clear();
    let grace = Duration::from_secs(args.grace_minutes.saturating_mul(60));
    let (mut report, asked_for) = report(audit?, SystemTime::now(), grace, args.any_champions);
    if args.resend {
        let asked_for: Vec<AskedFor> = asked_for.into_iter().take(args.max).collect();
        report.resent = Some(match bucket {
            Some((function, bucket)) => {
                let functions = LambdaFunctions::new(&store::aws_config("tripcast").await);
                send(&functions, function, bucket, &asked_for).await
            }
            None => {
                let files = asked_for.into_iter().map(|one| (one.meta.key, one.profiles)).collect();
                let walked = args.here.walk(&predictor, files, (None, None)).await?;
                Resent { function: None, done: walked.ended_well(), failed: walked.failed }
            }
        });
    }
    out.print(&report, || table(&report))?;
    let missing = report.missing.len();
    let left = match &report.resent {
        None if missing > 0 => return Err(ReconcileError::Missing { missing, files: report.files }.into()),
        None => 0,
        Some(resent) => missing.saturating_sub(usize::try_from(resent.done).unwrap_or(missing)),
    };
    if left > 0 { Err(ReconcileError::Left { left, missing }.into()) } else { Ok(()) }
}

/// A missing file that is to be predicted.
#[derive(Debug)]
struct AskedFor {
    meta: ObjectMeta,
    /// Profiles of its days state what was predicted when it was new. They stay if that was of these bytes, whose trips the present
    /// champions may have learned from; those of former bytes are replaced.
    profiles: Condition,
}

/// Sends the events of files to a function.
async fn send(functions: &dyn Functions, function: &str, bucket: &str, files: &[AskedFor]) -> Resent {
    let mut resent = Resent { function: Some(function.into()), done: 0, failed: Vec::new() };
    for file in files {
        match functions.send(function, &file.event(bucket)).await {
            Ok(()) => resent.done += 1,
            Err(error) => {
                resent
                    .failed
                    .push(NotPredicted { key: file.meta.key.to_string(), reason: error.to_string() });
            }
        }
    }
    resent
}

impl AskedFor {
    /// Returns the event by which the function writes profiles under this condition.
    fn event(&self, bucket: &str) -> Value {
        let ObjectMeta { key, etag, .. } = &self.meta;
        match self.profiles {
            Condition::IfAbsent => json!({"backfill": {"bucket": bucket, "key": key, "etag": etag}}),
            _ => object_created(bucket, &self.meta),
        }
    }
}

/// Returns the event of an object as EventBridge sends it (Amazon S3 User Guide, "EventBridge event message structure").
fn object_created(bucket: &str, meta: &ObjectMeta) -> Value {
    json!({
        "version": "0",
        "source": "aws.s3",
        "detail-type": "Object Created",
        "resources": [format!("arn:aws:s3:::{bucket}")],
        "detail": {
            "version": "0",
            "bucket": {"name": bucket},
            "object": {"key": meta.key, "size": meta.bytes, "etag": meta.etag},
            "reason": "tripcast reconcile",
        },
    })
}

/// Counts how files stand at the time `now`, and returns those that are missing.
fn report(audit: Audit, now: SystemTime, grace: Duration, any_champions: bool) -> (Report, Vec<AskedFor>) {
    let mut report = Report { bundle: audit.bundle, files: audit.files.len() as u64, ..Report::default() };
    let mut missing = Vec::new();
    for (meta, standing) in audit.files {
        let age = meta.modified.and_then(|modified| now.duration_since(modified).ok());
        // A file from a clock that runs ahead is young; one whose time is not known is not.
        let is_young = meta.modified.is_some() && age.unwrap_or_default() < grace;
        match standing {
            FileStanding::Predicted => report.predicted += 1,
            FileStanding::PredictedEarlier if any_champions => report.predicted += 1,
            FileStanding::Refused(_) => report.refused += 1,
            FileStanding::PredictedEarlier | FileStanding::Missing if is_young => report.young += 1,
            FileStanding::PredictedEarlier | FileStanding::Missing => {
                let predicted_earlier = standing == FileStanding::PredictedEarlier;
                let (key, modified) = (meta.key.to_string(), meta.modified.map(DateTime::from));
                report.missing.push(Missing { key, modified, predicted_earlier });
                let profiles = if predicted_earlier { Condition::IfAbsent } else { Condition::Always };
                missing.push(AskedFor { meta, profiles });
            }
        }
    }
    (report, missing)
}

fn table(report: &Report) -> Vec<String> {
    let Report { files, predicted, refused, young, .. } = report;
    let bundle = report
        .bundle
        .as_ref()
        .map_or_else(|| "there is no champion".into(), |bundle| format!("the present bundle is {bundle}"));
    let mut lines = vec![format!(
        "files: {files}; {predicted} predicted, {refused} refused, {young} young, {} missing; {bundle}",
        report.missing.len()
    )];
    lines.extend(report.missing.iter().map(|one| {
        let earlier = if one.predicted_earlier { ", predicted by former champions" } else { "" };
        format!("  {}  written {}{earlier}", one.key, time(one.modified))
    }));
    if let Some(resent) = &report.resent {
        lines.push(match &resent.function {
            Some(function) => {
                format!("{} events sent to {function}; look again in some minutes", resent.done)
            }
            None => format!("{} predicted now", resent.done),
        });
        lines.extend(resent.failed.iter().map(|one| format!("  {}: {}", one.key, one.reason)));
    }
    lines
}

#[cfg(test)]
mod tests {
    use batch_predictor::backfill::backfill_request;
    use platform::event::objects_created;
    use store::{ETag, ObjectKey};

    use super::*;

    fn audit(now: SystemTime, files: Vec<(&str, u64, FileStanding)>) -> Audit {
        let file = |(name, minutes, standing): (&str, u64, FileStanding)| {
            let modified = Some(now - Duration::from_secs(60 * minutes));
            let key = ObjectKey::new(format!("incoming/{name}")).unwrap();
            (ObjectMeta { key, bytes: 1, etag: ETag("e".into()), modified }, standing)
        };
        Audit { bundle: Some("ab12".into()), files: files.into_iter().map(file).collect() }
    }

    #[test]
    fn only_what_is_old_and_has_nothing_is_missing() {
        let now = SystemTime::now();
        let files = || {
            let refused = FileStanding::Refused("Dataset.NotParquet".into());
            let files = vec![
                ("a", 60, FileStanding::Predicted),
                ("b", 60, refused),
                ("c", 14, FileStanding::Missing),
                ("d", 16, FileStanding::Missing),
                ("e", 60, FileStanding::PredictedEarlier),
            ];
            audit(now, files)
        };
        let grace = Duration::from_secs(15 * 60);
        let (found, missing) = report(files(), now, grace, false);
        assert_eq!((found.files, found.predicted, found.refused, found.young), (5, 1, 1, 1));
        let keys =
            |missing: &[AskedFor]| missing.iter().map(|one| one.meta.key.to_string()).collect::<Vec<_>>();
        assert_eq!(keys(&missing), ["incoming/d", "incoming/e"]);
        assert!(found.missing[1].predicted_earlier && !found.missing[0].predicted_earlier);
        assert!(table(&found)[0].ends_with("1 young, 2 missing; the present bundle is ab12"));

        let replaces: Vec<bool> = missing.iter().map(|one| one.profiles == Condition::Always).collect();
        assert_eq!(replaces, [true, false], "profiles of the same bytes stay");

        let (found, missing) = report(files(), now, grace, true);
        assert_eq!((found.predicted, keys(&missing)), (2, vec!["incoming/d".to_string()]));
        let (found, _) = report(files(), now - Duration::from_secs(3_600), Duration::ZERO, false);
        assert_eq!((found.young, found.missing.len()), (0, 3), "without a grace nothing is young");
    }

    #[test]
    fn the_event_of_a_file_names_its_present_bytes() {
        let files = vec![("late trips + 100%/a", 60, FileStanding::Missing)];
        let meta = audit(SystemTime::now(), files).files.remove(0).0;
        let mut file = AskedFor { meta, profiles: Condition::Always };
        let objects = objects_created(&file.event("trips")).unwrap();
        file.profiles = Condition::IfAbsent;
        let request = backfill_request(&file.event("trips")).unwrap().unwrap();
        for object in [&objects[0], &request.object] {
            let named = (object.bucket.as_str(), object.key.as_str(), object.etag.as_deref());
            assert_eq!(named, ("trips", "incoming/late trips + 100%/a", Some("e")));
        }
        assert_eq!((objects.len(), request.profiles), (1, Condition::IfAbsent));
    }
}
