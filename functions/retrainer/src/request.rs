//! The events of the retrainer.

use chrono::{DateTime, NaiveDate};
use model::Target;
use platform::event::EventError;
use registry::layout;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::learn::FitTask;

/// The parameters of a retraining.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RetrainRequest {
    /// The day to retrain as of; none means today.
    pub now: Option<NaiveDate>,
    /// The target; none means every target.
    pub target: Option<Target>,
    /// What names the run: the object by whose creation the monitor asks for it, of which there is one for a champion. None names it after
    /// the event.
    pub name: Option<String>,
}

/// An event that invokes the retrainer.
#[derive(Debug, Clone, PartialEq)]
pub enum RetrainerEvent {
    /// To retrain.
    Retrain(RetrainRequest),
    /// To report how old the champions and the last retraining are.
    ReportAge,
    /// To do one step of a retraining that a state machine leads.
    Step(Box<Step>),
}

/// A step of a retraining, `{"pipeline": {"step": ..., ...}}`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case", deny_unknown_fields)]
pub enum Step {
    /// To plan and check the months.
    Begin {
        /// `{"now": ..., "target": ...}`, as for a whole retraining.
        #[serde(default)]
        request: Value,
        /// What names the run, after the day.
        name: String,
    },
    /// To say which fits are to be done next.
    Next {
        /// The run.
        run: String,
    },
    /// To do one of them.
    Fit {
        /// The run.
        run: String,
        /// The fit.
        task: FitTask,
        /// How often the state machine has repeated this step.
        #[serde(default)]
        retries: u32,
    },
    /// To compare the candidates with the champions, publish them and promote what is better.
    Judge {
        /// The run.
        run: String,
    },
    /// To record that the run ends with an error.
    Abandon {
        /// The run.
        run: String,
        /// The error of Step Functions: its name and its cause.
        error: StepError,
    },
}

/// An error as Step Functions hands it on.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct StepError {
    /// Its name.
    pub error: String,
    /// Its cause, for people.
    #[serde(default)]
    pub cause: String,
}

/// Decodes an event. `{"now": "2021-03-15", "target": "tip"}`, both optional, or the event of EventBridge Scheduler
/// (its `time` is the day), or EventBridge's "Object Created" for the monitor's request, starts a retraining; `{"report": "age"}` reports ages.
///
/// # Errors
/// [`EventError`] for an invalid day or target, and for any other event.
pub fn retrainer_event(event: &Value) -> Result<RetrainerEvent, EventError> {
    if *event == json!({"report": "age"}) {
        return Ok(RetrainerEvent::ReportAge);
    }
    if let Some(step) = event.get("pipeline") {
        let unknown = |error| {
            EventError::new(
                "a step of a pipeline: begin, next, fit, judge or abandon",
                &json!({"pipeline": step, "error": format!("{error}")}),
            )
        };
        let step = Step::deserialize(step).map_err(|error: serde_json::Error| unknown(error))?;
        return Ok(RetrainerEvent::Step(Box::new(step)));
    }
    retrain_request(event).map(RetrainerEvent::Retrain)
}

pub(crate) fn retrain_request(event: &Value) -> Result<RetrainRequest, EventError> {
    let unknown = || {
        EventError::new(
            "a scheduled event, {\"now\": \"yyyy-mm-dd\", \"target\": \"duration|tip\"} or {\"report\": \"age\"}",
            event,
        )
    };
    let fields = event.as_object().ok_or_else(unknown)?;
    let scheduled = fields.contains_key("detail-type");
    if !scheduled && fields.keys().any(|name| name != "now" && name != "target") {
        return Err(unknown());
    }
    let day = |value: &Value| {
        let text = value.as_str()?;
        let day = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok();
        day.or_else(|| DateTime::parse_from_rfc3339(text).ok().map(|at| at.date_naive()))
    };
    let stated = match (&event["now"], &event["time"]) {
        (Value::Null, Value::Null) => None,
        (Value::Null, time) => Some(day(time).ok_or_else(unknown)?),
        (now, _) => Some(day(now).ok_or_else(unknown)?),
    };
    let target = match &event["target"] {
        Value::Null => None,
        target => Some(Target::deserialize(target).map_err(|_| unknown())?),
    };
    let key = event["detail"]["object"]["key"].as_str();
    let name = key.and_then(layout::retrain_request_name).map(String::from);
    Ok(RetrainRequest { now: stated, target, name })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(name: &str) -> Value {
        let path = format!("{}/../../infra/events/{name}.json", env!("CARGO_MANIFEST_DIR"));
        serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
    }

    #[test]
    fn a_retraining_is_asked_for_by_a_schedule_or_by_hand() {
        let day = |text: &str| Some(text.parse::<NaiveDate>().unwrap());
        let request = |event: &Value| retrain_request(event).unwrap();
        let (march, tip) = (day("2021-03-15"), Some(Target::Tip));
        assert_eq!(
            request(&sample("retrainer-schedule")),
            RetrainRequest { now: march, ..RetrainRequest::default() }
        );
        assert_eq!(
            request(&sample("retrainer-now")),
            RetrainRequest { now: march, ..RetrainRequest::default() }
        );
        assert_eq!(request(&json!({})), RetrainRequest::default());
        let requested = request(&sample("retrainer-requested"));
        assert_eq!(
            (requested.now, requested.name.as_deref()),
            (day("2021-06-01"), Some("requested-9f3c1a7be2d0"))
        );
        assert_eq!(retrainer_event(&sample("retrainer-report")), Ok(RetrainerEvent::ReportAge));
        assert!(matches!(retrainer_event(&json!({})), Ok(RetrainerEvent::Retrain(_))));
        assert!(retrainer_event(&json!({"report": "weather"})).is_err());
        let by_hand = json!({"now": "2021-03-15T09:00:00Z", "target": "tip"});
        assert_eq!(request(&by_hand), RetrainRequest { now: march, target: tip, name: None });
        for bad in [json!({"now": "soon"}), json!({"target": "fare"}), json!({"when": 1}), json!([])] {
            assert!(retrain_request(&bad).is_err(), "{bad}");
        }
    }
}
