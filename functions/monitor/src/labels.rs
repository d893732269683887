//! Joins outcomes that come later than their predictions: the lines of `labels/<day>/<name>.jsonl` with what was answered on that day, by id.
//! What comes of a day is one object, which replaces that of an earlier join: files that come again, or correct one another, count once.

use std::collections::{BTreeMap, HashMap, HashSet};

use chrono::{DateTime, NaiveDate, NaiveDateTime, TimeDelta, Utc};
use futures::FutureExt;
use futures::stream::{self, StreamExt, TryStreamExt};
use model::Trip;
use model::outcome::Outcome;
use model::prediction::RidePrediction;
use model::request::json::parse;
use model::request::{RideId, code, local_time};
use monitoring::Profile;
use monitoring::days::STREAM_DAYS_APART_MAX;
use monitoring::profile::TripPrediction;
use platform::lambda::day_of;
use registry::layout;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use store::{Condition, ETag, Get, ObjectKey, Store, StoreError, json};

/// Objects that are read at once; answers are small.
const AT_ONCE: usize = 64;
/// Days after which answers have expired; both deployments say so.
const ANSWERS_KEPT_DAYS: i64 = 90;
/// Lines that are named of all that cannot be used.
const REFUSED_MAX: usize = 5;

/// The outcomes of what was answered on a day, `profiles/labels/<day>.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct LabelledDay {
    /// The files of labels that were joined.
    files: BTreeMap<String, ETag>,
    /// When they were.
    joined: DateTime<Utc>,
    /// What could not be joined, for people.
    pub(crate) left: Vec<String>,
    /// Counts of the outcomes alone, by day of the pickup.
    pub(crate) days: BTreeMap<NaiveDate, Profile>,
}

/// What a label is joined by: the prediction's id, or the ride's.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Id {
    Prediction(String),
    Ride(RideId),
}

/// What is known of a ride that has ended.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Label {
    duration_min: Option<f64>,
    dropoff: Option<NaiveDateTime>,
    tip_amount: Option<f64>,
    payment_type: Option<u8>,
}

/// Names of the time at which a ride ended.
const DROPOFFS: [&str; 3] = ["dropoff_datetime", "lpep_dropoff_datetime", "tpep_dropoff_datetime"];

/// A line of answers; challengers' predictions are ignored.
#[derive(Debug, Deserialize)]
struct Answer {
    id: String,
    prediction: RidePrediction,
    #[serde(default)]
    trip: Trip,
}

impl Label {
    /// Reads a line. Other fields are ignored.
    ///
    /// # Errors
    /// What was expected.
    fn from_line(line: &[u8]) -> Result<(Vec<Id>, Self), String> {
        let text = std::str::from_utf8(line).map_err(|_| "expected UTF-8")?;
        let value = parse(text).map_err(|error| format!("expected a label: {error}"))?;
        let fields = value.as_object().ok_or("expected a label: an object")?;
        let field = |name: &str| fields.get(name).filter(|value| !value.is_null());
        let number = |name: &str| {
            let Some(value) = field(name) else { return Ok(None) };
            let number = value.as_f64().or_else(|| value.as_str()?.trim().parse().ok());
            number.map(Some).ok_or_else(|| format!("{name}: expected a number, found {value}"))
        };
        let prediction = field("id").and_then(Value::as_str).map(|id| Id::Prediction(id.into()));
        let ride = field("ride_id").map(|id| RideId::from_json(Some(id)).map_err(|refused| refused.detail));
        let ids: Vec<Id> = prediction.into_iter().chain(ride.transpose()?.map(Id::Ride)).collect();
        let stated = DROPOFFS.iter().find_map(|name| field(name));
        let time = |value: &Value| value.as_str().and_then(local_time);
        let dropoff = stated
            .map(|value| time(value).ok_or(format!("dropoff_datetime: expected a time, found {value}")));
        let label = Self {
            duration_min: number("duration_min")?,
            dropoff: dropoff.transpose()?,
            tip_amount: number("tip_amount")?,
            payment_type: number("payment_type")?.and_then(code),
        };
        if ids.is_empty() {
            return Err("expected id, that of the prediction, or ride_id".into());
        }
        if label.duration_min.is_none() && label.dropoff.is_none() && label.tip_amount.is_none() {
            return Err("expected duration_min, dropoff_datetime or tip_amount".into());
        }
        Ok((ids, label))
    }

    fn outcome(self, trip: &Trip) -> Outcome {
        let after = |minutes: f64| {
            let micros = (minutes * 60e6).round() as i64;
            trip.pickup?.checked_add_signed(TimeDelta::microseconds(micros))
        };
        let dropoff = self.dropoff.or(self.duration_min.and_then(after));
        Outcome { dropoff, tip_amount: self.tip_amount, payment_type: self.payment_type, fare_amount: None }
    }
}

/// Joins the labels of the days until `to` that have come or changed, and returns the outcomes of all days from `from` on. What was joined
/// stays when the answers have expired.
pub(crate) async fn joined(
    store: &dyn Store,
    from: NaiveDate,
    to: NaiveDate,
    now: DateTime<Utc>,
) -> Result<Vec<LabelledDay>, StoreError> {
    let mut files: BTreeMap<NaiveDate, BTreeMap<String, ETag>> = BTreeMap::new();
    for meta in store.list(layout::LABELS).await? {
        if let Some(day) = layout::day_of_labels(&meta.key).filter(|day| (from..=to).contains(day)) {
            files.entry(day).or_default().insert(meta.key.to_string(), meta.etag);
        }
    }
    let mut all = Vec::new();
    for (day, files) in files {
        let key = layout::profile_of_labels(day)?;
        let has_answers = (day_of(now) - day).num_days() < ANSWERS_KEPT_DAYS;
        let known = json::read::<LabelledDay>(store, &key).await;
        let labelled = match known {
            Ok(Some((known, _))) if known.files == files || !has_answers => known,
            Err(error) if !matches!(error, StoreError::Document { .. }) => return Err(error),
            _ if has_answers => {
                let labelled = join(store, day, files, now).await?;
                json::write_line(store, &key, &labelled, Condition::Always).await?;
                labelled
            }
            _ => {
                let left = vec![format!(
                    "labels of {day} came when its answers had expired, after {ANSWERS_KEPT_DAYS} days"
                )];
                LabelledDay { files, joined: now, left, days: BTreeMap::new() }
            }
        };
        all.push(labelled);
    }
    Ok(all)
}

/// Joins all labels of a day with the answers of that day.
async fn join(
    store: &dyn Store,
    day: NaiveDate,
    files: BTreeMap<String, ETag>,
    now: DateTime<Utc>,
) -> Result<LabelledDay, StoreError> {
    let (mut labels, mut left) = (Vec::new(), Vec::new());
    for key in files.keys() {
        let (read, refused) = labels_of(store, &ObjectKey::new(key.clone())?).await?;
        labels.extend(read);
        left.extend(refused);
    }
    // Of several labels of a ride the last one counts.
    let ids = labels.iter().enumerate().flat_map(|(at, (ids, _))| ids.iter().map(move |id| (id, at)));
    let last: HashMap<&Id, usize> = ids.collect();
    let (mut days, mut answered, mut used) = (BTreeMap::new(), HashSet::new(), HashSet::new());
    let mut without_pickup = 0;
    let listed = store.list(&layout::answers_of_day(day)).await?;
    let reads = listed.into_iter().map(|meta| {
        async move {
            let object = match store.get(&meta.key, Get::default()).await {
                Err(StoreError::NotFound { .. }) => None,
                other => Some(other?),
            };
            Ok::<_, StoreError>((meta.key, object))
        }
        .boxed()
    });
    let mut reads = stream::iter(reads).buffered(AT_ONCE);
    while let Some((key, object)) = reads.try_next().await? {
        for line in lines(object.as_ref().map_or(&[], |object| &object.bytes)) {
            let Answer { id, prediction, trip } = match serde_json::from_slice(line) {
                Ok(answer) => answer,
                Err(error) => {
                    left.push(format!("{key}: {error}"));
                    continue;
                }
            };
            let ids = [Id::Prediction(id.clone()), Id::Ride(prediction.ride_id.clone())];
            let found: Vec<(&Id, usize)> =
                ids.iter().filter_map(|id| last.get_key_value(id)).map(|(id, at)| (*id, *at)).collect();
            used.extend(found.iter().map(|(id, _)| *id));
            let Some(at) = found.iter().map(|(_, at)| *at).max() else { continue };
            let label = labels[at].1;
            // A batch that came twice was answered twice.
            if answered.insert(id) {
                let is_near = |of: &NaiveDate| (*of - day).num_days().abs() <= STREAM_DAYS_APART_MAX;
                let counted_on = trip.pickup.map(|at| at.date()).filter(is_near).unwrap_or(day);
                let predicted = predicted(&prediction);
                without_pickup += usize::from(
                    label.dropoff.is_none() && label.duration_min.is_some() && trip.pickup.is_none(),
                );
                let profile: &mut Profile = days.entry(counted_on).or_default();
                profile.add_outcome(&trip, &predicted, &label.outcome(&trip));
            }
        }
    }
    let without = labels.iter().filter(|(ids, _)| ids.iter().all(|id| !used.contains(id))).count();
    if without > 0 {
        let n = labels.len();
        left.push(format!(
            "{without} of {n} labels of {day} have no answer: answers are kept with KEEP_ANSWERS, for {ANSWERS_KEPT_DAYS} days"
        ));
    }
    if without_pickup > 0 {
        left.push(format!(
            "{without_pickup} labels of {day} state a duration of rides without a pickup time, from which it would count"
        ));
    }
    if left.len() > REFUSED_MAX {
        let more = left.len() - REFUSED_MAX;
        left.drain(..more);
        left.insert(0, format!("{more} more lines of labels or answers of {day} cannot be used"));
    }
    Ok(LabelledDay { files, joined: now, left, days })
}

fn predicted(prediction: &RidePrediction) -> TripPrediction {
    let [lower, upper] = prediction.ride_duration_interval;
    TripPrediction {
        minutes: prediction.ride_duration,
        interval: (lower, upper),
        tip_probability: prediction.tip_probability,
    }
}

/// Reads a file of labels, and names the lines that cannot be used.
async fn labels_of(
    store: &dyn Store,
    key: &ObjectKey,
) -> Result<(Vec<(Vec<Id>, Label)>, Vec<String>), StoreError> {
    let object = match store.get(key, Get::default()).await {
        // Listed and gone since.
        Err(StoreError::NotFound { .. }) => return Ok(Default::default()),
        other => other?,
    };
    let (mut read, mut refused) = (Vec::new(), Vec::new());
    for (number, line) in (1..).zip(lines(&object.bytes)) {
        match Label::from_line(line) {
            Ok(label) => read.push(label),
            Err(why) => refused.push(format!("{key}, line {number}: {why}")),
        }
    }
    Ok((read, refused))
}

/// Returns the lines of a text that are not blank.
fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty())
}

#[cfg(test)]
mod tests;
