//! Asks for a retraining: at most once for each champion, by an object that is created once and whose creation starts the retrainer.

use std::sync::Arc;

use model::{ModelVersion, Target, bundle_id};
use registry::runs::Runs;
use registry::{Registry, RegistryError, layout};
use serde_json::json;
use store::{Condition, Store, StoreError, json as documents};

use crate::alarms::{AlarmRecord, Retraining};
use crate::profiles::Day;

/// The champions of the present.
#[derive(Debug, Default)]
pub(crate) struct Champions {
    duration: Option<ModelVersion>,
    bundle: Option<String>,
}

impl Champions {
    pub(crate) async fn read(registry: &Registry) -> Result<Self, RegistryError> {
        let version = |target| async move {
            Ok::<_, RegistryError>(registry.champion(target).await?.map(|champion| champion.alias.version))
        };
        let (duration, tip) = (version(Target::Duration).await?, version(Target::Tip).await?);
        let bundle = duration.as_ref().map(|duration| bundle_id(duration, tip.as_ref()));
        Ok(Self { duration, bundle })
    }

    /// Asks for a better champion if the alarm is a reason to, and concerns predictions of the present one. Returns its version if this call
    /// made the request.
    pub(crate) async fn ask(
        &self,
        store: &dyn Store,
        alarm: &mut AlarmRecord,
        last_day: Option<&Day>,
    ) -> Result<Option<String>, StoreError> {
        let Some((duration, bundle)) = self.duration.as_ref().zip(self.bundle.as_ref()) else {
            return Ok(None);
        };
        let concerns_it = last_day.is_some_and(|day| day.bundles.contains(bundle));
        let has_asked = alarm.retraining.as_ref().is_some_and(|asked| asked.champion == *duration);
        if !alarm.is_reason_to_retrain() || !concerns_it || has_asked {
            return Ok(None);
        }
        let key = layout::retrain_request(duration.as_str())?;
        let request = json!({"champion": duration, "bundle": bundle, "alarm": alarm.id, "cause": alarm.cause, "at": alarm.created});
        let (asked_by, is_new) = match documents::write(store, &key, &request, Condition::IfAbsent).await {
            Ok(_) => (alarm.id.clone(), true),
            Err(StoreError::Precondition { .. }) => {
                let present = documents::read::<serde_json::Value>(store, &key).await?;
                // Without an object the write lost against another one that failed: the next run asks.
                let Some((request, _)) = present else { return Ok(None) };
                (request["alarm"].as_str().unwrap_or_default().to_string(), false)
            }
            Err(error) => return Err(error),
        };
        alarm.retraining =
            Some(Retraining { champion: duration.clone(), asked_by, run: None, outcome: None });
        Ok(is_new.then(|| duration.to_string()))
    }
}

/// Records how the retraining of an alarm ended, once it has.
pub(crate) async fn follow(
    models: &Arc<dyn Store>,
    alarm: &mut AlarmRecord,
    champions: &Champions,
) -> Result<(), StoreError> {
    let Some(asked) = alarm.retraining.as_mut().filter(|asked| asked.outcome.is_none()) else {
        return Ok(());
    };
    let runs = Runs::new(Arc::clone(models));
    let name = format!("requested-{}", asked.champion);
    // The name of a run begins with its day, and may end in a number: the last one counts.
    let names = runs.names().await?;
    let Some(run) = names.into_iter().rfind(|run| run.contains(&name)) else { return Ok(()) };
    let status = runs.status(&run).await?;
    asked.run = Some(run);
    asked.outcome = match (&champions.duration, status) {
        (Some(present), _) if *present != asked.champion => Some(format!("{present} was promoted")),
        (_, Some(status)) if status.ended_well() => Some("nothing better was found".into()),
        (_, Some(status)) => status.why_not().map(|why| format!("the retraining did not end well: {why}")),
        (_, None) => None,
    };
    Ok(())
}
