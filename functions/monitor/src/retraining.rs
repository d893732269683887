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
        if !alarm.is_reason_to_retrain()
            || !concerns_it
            || alarm.retraining.is_some()
            || alarm.ended.is_some()
        {
            return Ok(None);
        }
        let key = layout::retrain_request(duration.as_str())?;
        let request = json!({"champion": duration, "bundle": bundle, "alarm": alarm.id, "cause": alarm.cause, "at": alarm.created});
        let asked_by = match documents::write(store, &key, &request, Condition::IfAbsent).await {
            Ok(_) => alarm.id.clone(),
            Err(StoreError::Precondition { .. }) => {
                let present = documents::read::<serde_json::Value>(store, &key).await?;
                let asked_by = present.and_then(|(request, _)| Some(request["alarm"].as_str()?.to_string()));
                asked_by.unwrap_or_default()
            }
            Err(error) => return Err(error),
        };
        let is_mine = asked_by == alarm.id;
        alarm.retraining =
            Some(Retraining { champion: duration.clone(), asked_by, run: None, outcome: None });
        Ok(is_mine.then(|| duration.to_string()))
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
    // The name of a run begins with its day.
    let Some(run) = runs.names().await?.into_iter().find(|run| run.ends_with(&name)) else { return Ok(()) };
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
