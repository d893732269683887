//! `tripcast registry`.

mod lineage;

use chrono::{DateTime, SecondsFormat, Utc};
use model::{ModelVersion, Target};
use registry::{Alias, Challengers, Change, Provenance, Registry};
use serde::Serialize;
use store::StoreUri;

use crate::files;
use crate::output::{Failure, Output};
use crate::times;
use crate::train::TargetName;

/// Show the models of a registry, and change its champions and challengers.
#[derive(clap::Subcommand)]
#[command(after_help = "Examples:
  tripcast registry list --store s3://my-model-bucket
  tripcast registry show --target duration --format html --store ./models > card.html
  tripcast registry rollback --target duration --reason 'drifted' --store ./models
  tripcast registry challenge --target duration --add 9f3c1a7be2d0 --store s3://my-model-bucket
  tripcast registry who-served --target tip --at 2021-03-15T09:00:00Z --store ./models
  tripcast registry lineage --of history/green_tripdata_2021-01.parquet --store ./models --data ./trips-store")]
pub enum Verb {
    /// List every model and mark the champions and challengers.
    List(In),
    /// Show the card of a model; by default that of the champion.
    Show {
        #[command(flatten)]
        of: Of,
        /// Format of the card; html is a page with plots, to redirect into a file.
        #[arg(long, value_enum, default_value = "json")]
        format: CardFormat,
        /// The version, 12 hex digits.
        #[arg(long)]
        version: Option<ModelVersion>,
    },
    /// Make a model the champion.
    Promote {
        #[command(flatten)]
        of: Of,
        /// The version, 12 hex digits.
        #[arg(long)]
        version: ModelVersion,
        /// Reason, for the history.
        #[arg(long, default_value = "promoted by hand")]
        reason: String,
    },
    /// Restore the champion before the present one; repeat to go further back.
    Rollback {
        #[command(flatten)]
        of: Of,
        /// Reason, for the history.
        #[arg(long, default_value = "rolled back by hand")]
        reason: String,
    },
    /// Put models in the shadow: scorers write their predictions below answers/, and the champion keeps serving.
    Challenge {
        #[command(flatten)]
        of: Of,
        /// A model to add, 12 hex digits; repeat for more.
        #[arg(long, value_name = "VERSION", required_unless_present = "remove")]
        add: Vec<ModelVersion>,
        /// A model to remove; repeat for more.
        #[arg(long, value_name = "VERSION")]
        remove: Vec<ModelVersion>,
        /// Reason.
        #[arg(long, default_value = "changed by hand")]
        reason: String,
    },
    /// List every champion, oldest first.
    History(Of),
    /// Show which model served at a time, why, and which files its retraining used.
    WhoServed {
        #[command(flatten)]
        of: Of,
        /// Time in RFC 3339, such as 2021-03-15T09:00:00Z or 2021-03-15T05:00:00-04:00.
        #[arg(long, value_parser = times::time)]
        at: DateTime<Utc>,
    },
    Lineage(lineage::Args),
}

/// The format of a card.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum CardFormat {
    /// By the schema of the Model Card Toolkit.
    Json,
    /// Markdown.
    Md,
    /// A page with plots.
    Html,
}

/// A champion with its origin.
#[derive(Serialize)]
struct WhoServed {
    #[serde(flatten)]
    alias: Alias,
    #[serde(flatten)]
    provenance: Provenance,
}

/// The registry.
#[derive(clap::Args)]
pub struct In {
    /// Store of the models: s3://bucket, s3://bucket/prefix or a directory.
    #[arg(long)]
    store: StoreUri,
}

/// The models of one target in a registry.
#[derive(clap::Args)]
pub struct Of {
    #[command(flatten)]
    registry: In,
    /// Target of the models.
    #[arg(long, value_enum)]
    target: TargetName,
}

#[derive(Serialize)]
struct Listed {
    target: Target,
    version: ModelVersion,
    bytes: u64,
    champion: bool,
    challenger: bool,
}

/// Runs the verb.
pub async fn run(verb: Verb, out: &Output) -> Result<(), Failure> {
    let now = Utc::now().to_rfc3339_opts(SecondsFormat::Secs, true);
    match verb {
        Verb::List(of) => list(&open(&of).await?, out).await,
        Verb::Show { of, format, version } => {
            let (registry, target) = (open(&of.registry).await?, of.target.into());
            let version = match version {
                Some(version) => version,
                None => champion(&registry, target).await?.version,
            };
            let card = registry.card(target, &version).await?;
            let page = match format {
                CardFormat::Json => serde_json::to_string_pretty(&card)?,
                CardFormat::Md => text(&registry, target, &version, "card.md").await?,
                CardFormat::Html => text(&registry, target, &version, "card.html").await?,
            };
            out.print(&card, || vec![page])
        }
        Verb::Promote { of, version, reason } => {
            let (registry, target) = (open(&of.registry).await?, of.target.into());
            let present = registry.champion(target).await?;
            if present.as_ref().is_some_and(|present| present.alias.version == version) {
                return Err(format!("{target} model {version} is the champion already").into());
            }
            let alias = registry.promote(target, &version, present.as_ref(), &reason, &now).await?;
            out.print(&alias, || vec![line(&alias)])
        }
        Verb::Rollback { of, reason } => {
            let alias = open(&of.registry).await?.rollback(of.target.into(), &reason, &now).await?;
            out.print(&alias, || vec![line(&alias)])
        }
        Verb::Challenge { of, add, remove, reason } => {
            let changes = add.into_iter().map(Change::Add).chain(remove.into_iter().map(Change::Remove));
            let changes: Vec<Change> = changes.collect();
            let registry = open(&of.registry).await?;
            let list = registry.challenge(of.target.into(), &changes, &reason, &now).await?;
            out.print(&list, || vec![challengers(&list)])
        }
        Verb::WhoServed { of, at } => {
            let (registry, target) = (open(&of.registry).await?, of.target.into());
            let alias = registry.who_served(target, at).await?;
            let provenance = registry.provenance(target, &alias.version).await?;
            let who = WhoServed { alias, provenance };
            out.print(&who, || who_served(&who))
        }
        Verb::Lineage(args) => lineage::run(&args, out).await,
        Verb::History(of) => {
            let history = open(&of.registry).await?.history(of.target.into()).await?;
            out.print(&history, || history.iter().map(line).collect())
        }
    }
}

/// Reads a file of a model as text.
async fn text(
    registry: &Registry,
    target: Target,
    version: &ModelVersion,
    name: &str,
) -> Result<String, Failure> {
    Ok(String::from_utf8(registry.file(target, version, name).await?.to_vec())?)
}

async fn open(of: &In) -> Result<Registry, Failure> {
    Ok(Registry::new(files::open_existing("--store", &of.store).await?))
}

async fn champion(registry: &Registry, target: Target) -> Result<Alias, Failure> {
    let champion = registry.champion(target).await?;
    Ok(champion.ok_or_else(|| format!("{target} has no champion yet"))?.alias)
}

async fn list(registry: &Registry, out: &Output) -> Result<(), Failure> {
    let mut listed = Vec::new();
    for target in Target::ALL {
        let champion = registry.champion(target).await?.map(|champion| champion.alias.version);
        let challengers = registry.challengers(target).await?.map(|(list, _)| list.versions);
        for (version, bytes) in registry.versions(target).await? {
            let is_champion = champion.as_ref() == Some(&version);
            let challenger = challengers.as_ref().is_some_and(|versions| versions.contains(&version));
            listed.push(Listed { target, version, bytes, champion: is_champion, challenger });
        }
    }
    if listed.is_empty() {
        tracing::warn!(
            "there is no registry in this store: expected duration/versions/ and tip/versions/, as `tripcast retrain --models` writes them"
        );
    }
    out.print(&listed, || {
        let row = |one: &Listed| {
            let mark = match (one.champion, one.challenger) {
                (true, _) => "  champion",
                (false, true) => "  challenger",
                (false, false) => "",
            };
            format!("{:8} {} {:>10} bytes{mark}", one.target, one.version, one.bytes)
        };
        if listed.is_empty() { vec!["no models yet".into()] } else { listed.iter().map(row).collect() }
    })
}

fn who_served(who: &WhoServed) -> Vec<String> {
    let run = who.provenance.run.as_deref().unwrap_or("unknown");
    let mut lines = vec![line(&who.alias), format!("      by run {run}")];
    let files = who.provenance.data.iter().flatten();
    lines.extend(files.map(|file| format!("      {}  {}  sha256 {}", file.month, file.key, file.sha256)));
    lines
}

fn challengers(list: &Challengers) -> String {
    let versions: Vec<&str> = list.versions.iter().map(ModelVersion::as_str).collect();
    match versions.is_empty() {
        true => format!("{:>4}  no challengers", list.seq),
        false => format!("{:>4}  {}", list.seq, versions.join(", ")),
    }
}

fn line(alias: &Alias) -> String {
    format!("{:>4}  {}  {}  {}", alias.seq, alias.version, alias.since, alias.reason)
}
